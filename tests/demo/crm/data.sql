-- Rows for schema.sql: about 250,000, the same ones on every run and every server.
BEGIN;
SET LOCAL statement_timeout = 0;
SET LOCAL synchronous_commit = off;

-- A number from 0 to n-1 that looks random and is not.
CREATE FUNCTION pg_temp.pick(i bigint, salt bigint, n integer) RETURNS integer LANGUAGE sql IMMUTABLE
    AS $$ SELECT ((((i * 2654435761 + salt * 40503) % 4294967296) * 69069 + 362437) % 4294967296 / 512 % n)::integer $$;
CREATE FUNCTION pg_temp.one(words text[], i bigint, salt bigint) RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT words[1 + pg_temp.pick(i, salt, cardinality(words))] $$;
CREATE FUNCTION pg_temp.ago(i bigint, salt bigint, days integer) RETURNS timestamp LANGUAGE sql IMMUTABLE
    AS $$ SELECT timestamp '2025-11-14 17:30:00' - pg_temp.pick(i, salt, days) * interval '1 day' - pg_temp.pick(i, salt + 1, 36000) * interval '1 second' $$;
-- Now and then something that breaks careless tools.
CREATE FUNCTION pg_temp.spice(i bigint, text) RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT CASE i % 1009
        WHEN 1 THEN '=HYPERLINK("http://example.org";"click")' WHEN 2 THEN E'Line one\nline two; "quoted"\tand a tab'
        WHEN 3 THEN '' WHEN 4 THEN NULL WHEN 5 THEN '-5 % agreed on the phone' WHEN 6 THEN E'back\\slash \\N \\.'
        WHEN 7 THEN 'Ünïcödé – 日本語 🎉' WHEN 8 THEN '@home office' ELSE $2 END $$;

CREATE TEMP TABLE w ON COMMIT DROP AS SELECT
    ARRAY['Anna','Boris','Clara','David','Elena','Felix','Greta','Hugo','Irina','Jan','Katarzyna','Luca','Maria','Nils','Olga','Paul','Quentin','Rosa','Stefan','Tatiana','Uwe','Vera','Walter','Xenia','Yusuf','Zoé','Amélie','Björn','Chloé','Dmitri','Esra','François','Giulia','Hanna','Ivan','Jürgen','Klára','Léa','Małgorzata','Noah'] AS given,
    ARRAY['Müller','Ivanova','Kowalski','García','Rossi','Dubois','Schmidt','Petrov','Novák','Jansen','Yılmaz','Fischer','Weber','Moreau','Bianchi','López','Wójcik','Kuznetsov','Svoboda','de Vries','O''Neill','Lindqvist','Hansen','Korhonen','Papadopoulos','Silva','Meyer','Wagner','Becker','Schulz','Romano','Martín','Zieliński','Sokolova','Dvořák','Visser','Demir','Laurent','Conti','Sánchez'] AS family,
    ARRAY['Nordlicht','Baltic','Alpen','Rhein','Blue Harbour','Sunrise','Granit','Vista','Optima','Delta','Orion','Quadro','Lindenhof','Terra','Aurora','Falcon','Kompass','Magnolia','Prisma','Silberpfeil','Meridian','Atlas','Polar','Riviera','Castello'] AS brand,
    ARRAY['Logistik','Bau','Foods','Software','Medizintechnik','Textil','Energie','Consulting','Möbel','Druck','Metall','Pharma','Reisen','Immobilien','Werbung'] AS trade,
    ARRAY['GmbH','AG','Sp. z o.o.','S.A.','Ltd','OOO','s.r.o.','B.V.','SARL','S.p.A.'] AS form,
    ARRAY['Berlin','Warszawa','Praha','Paris','Milano','Madrid','Wien','Amsterdam','München','Kraków','Lyon','Hamburg','Brno','Torino','Gdańsk'] AS city,
    ARRAY['Hauptstraße','ul. Długa','Rue de la Paix','Via Roma','Calle Mayor','Národní','Marktplatz','Keizersgracht','Bahnhofstraße','Lindenallee'] AS street,
    ARRAY['Website relaunch','Annual service contract','Warehouse racks','CRM training','Office move','Spare parts','Licence renewal','Trade fair stand','Security audit','Delivery van','Packaging line','Solar roof','Translation package','Catering','Cloud migration'] AS thing,
    ARRAY['Managing director','Head of purchasing','Sales manager','Accountant','Engineer','Assistant','IT administrator','Marketing lead','Owner','Warehouse manager'] AS post;

INSERT INTO b_user (id, login, name, last_name, email, active)
    SELECT i, 'user' || i, pg_temp.one(given, i, 1), pg_temp.one(family, i, 2), 'user' || i || '@acme.example', CASE WHEN i % 17 = 0 THEN 'N' ELSE 'Y' END
    FROM w, generate_series(1, 60) i;
SELECT setval('b_user_id_seq', 60);

INSERT INTO b_crm_status (entity_id, status_id, name, sort, semantics) VALUES
    ('STATUS','NEW','New',10,NULL),('STATUS','IN_PROCESS','In progress',20,NULL),('STATUS','PROCESSED','Processed',30,NULL),('STATUS','CONVERTED','Good lead',40,'S'),('STATUS','JUNK','Junk lead',50,'F'),
    ('SOURCE','CALL','Call',10,NULL),('SOURCE','EMAIL','E-mail',20,NULL),('SOURCE','WEB','Website',30,NULL),('SOURCE','ADVERTISING','Advertising',40,NULL),('SOURCE','PARTNER','Existing client',50,NULL),('SOURCE','RECOMMENDATION','By recommendation',60,NULL),('SOURCE','TRADE_SHOW','Show/exhibition',70,NULL),
    ('CONTACT_TYPE','CLIENT','Clients',10,NULL),('CONTACT_TYPE','SUPPLIER','Suppliers',20,NULL),('CONTACT_TYPE','PARTNER','Partners',30,NULL),
    ('COMPANY_TYPE','CUSTOMER','Client',10,NULL),('COMPANY_TYPE','SUPPLIER','Supplier',20,NULL),('COMPANY_TYPE','COMPETITOR','Competitor',30,NULL),('COMPANY_TYPE','PARTNER','Partner',40,NULL),
    ('INDUSTRY','IT','Information technology',10,NULL),('INDUSTRY','MANUFACTURING','Manufacturing',20,NULL),('INDUSTRY','DELIVERY','Delivery',30,NULL),('INDUSTRY','FINANCE','Finance',40,NULL),('INDUSTRY','CONSULTING','Consulting',50,NULL),
    ('EMPLOYEES','EMPLOYEES_1','fewer than 50',10,NULL),('EMPLOYEES','EMPLOYEES_2','50 - 250',20,NULL),('EMPLOYEES','EMPLOYEES_3','250 - 500',30,NULL),
    ('DEAL_TYPE','SALE','Sales',10,NULL),('DEAL_TYPE','SERVICE','Service',20,NULL),('DEAL_TYPE','COMPLEX','Integrated sales',30,NULL),
    ('HONORIFIC','HNR_1','Mr.',10,NULL),('HONORIFIC','HNR_2','Mrs.',20,NULL),
    ('DEAL_STAGE','NEW','Qualification',10,'P'),('DEAL_STAGE','PREPARATION','Quote',20,'P'),('DEAL_STAGE','EXECUTING','In progress',30,'P'),('DEAL_STAGE','WON','Deal won',40,'S'),('DEAL_STAGE','LOSE','Deal lost',50,'F'),
    ('DEAL_STAGE_1','C1:NEW','First contact',10,'P'),('DEAL_STAGE_1','C1:EXECUTING','On site',20,'P'),('DEAL_STAGE_1','C1:WON','Signed',30,'S'),('DEAL_STAGE_1','C1:LOSE','Gone',40,'F');
INSERT INTO b_crm_deal_category (name) VALUES ('Service contracts');

INSERT INTO b_crm_company (date_create, date_modify, created_by_id, modify_by_id, assigned_by_id, opened, title, address, banking_details, comments, company_type, industry, revenue, currency_id, employees, lead_id, originator_id, origin_id, is_my_company, search_content)
    SELECT t, t + interval '3 days', 1 + pg_temp.pick(i, 3, 60), 1 + pg_temp.pick(i, 4, 60), 1 + pg_temp.pick(i, 5, 60), CASE WHEN i % 3 = 0 THEN 'Y' ELSE 'N' END,
        pg_temp.one(brand, i, 6) || ' ' || pg_temp.one(trade, i, 7) || ' ' || pg_temp.one(form, i, 8),
        pg_temp.one(street, i, 9) || ' ' || (1 + pg_temp.pick(i, 10, 180)) || ', ' || pg_temp.one(city, i, 11),
        CASE WHEN i % 4 = 0 THEN 'IBAN DE' || lpad(pg_temp.pick(i, 12, 2000000)::text, 20, '0') END,
        pg_temp.spice(i, CASE WHEN i % 5 = 0 THEN 'Pays on time. Ask for ' || pg_temp.one(family, i, 13) || '.' END),
        pg_temp.one(ARRAY['CUSTOMER','CUSTOMER','CUSTOMER','SUPPLIER','PARTNER','COMPETITOR'], i, 14), pg_temp.one(ARRAY['IT','MANUFACTURING','DELIVERY','FINANCE','CONSULTING'], i, 15),
        (10000 * (1 + pg_temp.pick(i, 16, 900)))::text, pg_temp.one(ARRAY['EUR','EUR','PLN','USD','CZK'], i, 17), pg_temp.one(ARRAY['EMPLOYEES_1','EMPLOYEES_2','EMPLOYEES_3'], i, 18), CASE WHEN i % 10 = 0 THEN 1 + pg_temp.pick(i, 57, 12000) END,
        CASE WHEN i % 50 = 0 THEN 'erp' END, CASE WHEN i % 50 = 0 THEN 'K' || (70000 + i) END, CASE WHEN i = 1 THEN 'Y' ELSE 'N' END, 'index words ' || i
    FROM w, generate_series(1, 8000) i, LATERAL (SELECT pg_temp.ago(i, 19, 1400) AS t) x;

INSERT INTO b_crm_contact (date_create, date_modify, created_by_id, modify_by_id, assigned_by_id, opened, company_id, source_id, source_description, full_name, name, last_name, second_name, post, address, comments, export, type_id, birthdate, honorific, category_id, search_content)
    SELECT t, t + interval '1 day', 1 + pg_temp.pick(i, 23, 60), 1 + pg_temp.pick(i, 24, 60), 1 + pg_temp.pick(i, 25, 60), CASE WHEN i % 2 = 0 THEN 'Y' ELSE 'N' END,
        CASE WHEN i % 9 <> 0 THEN 1 + pg_temp.pick(i, 26, 8000) END, pg_temp.one(ARRAY['CALL','EMAIL','WEB','ADVERTISING','PARTNER','RECOMMENDATION','TRADE_SHOW'], i, 27),
        CASE WHEN i % 11 = 0 THEN 'Met at the fair in ' || pg_temp.one(city, i, 28) END, n || ' ' || f, n, f, CASE WHEN i % 13 = 0 THEN pg_temp.one(given, i, 31) END,
        pg_temp.one(post, i, 32), CASE WHEN i % 3 = 0 THEN pg_temp.one(street, i, 33) || ' ' || (1 + pg_temp.pick(i, 34, 120)) END,
        pg_temp.spice(i, CASE WHEN i % 6 = 0 THEN 'Prefers calls before noon.' END), CASE WHEN i % 40 = 0 THEN 'N' ELSE 'Y' END,
        pg_temp.one(ARRAY['CLIENT','CLIENT','SUPPLIER','PARTNER'], i, 35), CASE WHEN i % 4 = 0 THEN date '1955-01-01' + pg_temp.pick(i, 36, 17000) END,
        pg_temp.one(ARRAY['HNR_1','HNR_2'], i, 37), CASE WHEN i % 997 = 0 THEN 2 ELSE 0 END, lower(n || f)
    FROM w, generate_series(1, 25000) i, LATERAL (SELECT pg_temp.ago(i, 38, 1200) AS t, pg_temp.one(given, i, 29) AS n, pg_temp.one(family, i, 30) AS f) x;

INSERT INTO b_crm_lead (date_create, date_modify, created_by_id, assigned_by_id, opened, company_id, contact_id, status_id, status_description, opportunity, currency_id, source_id, title, name, last_name, company_title, post, comments, honorific, date_closed, search_content)
    SELECT t, t + interval '2 hours', 1 + pg_temp.pick(i, 41, 60), 1 + pg_temp.pick(i, 42, 60), 'Y', CASE WHEN i % 3 = 0 THEN 1 + pg_temp.pick(i, 43, 8000) END, CASE WHEN i % 4 = 0 THEN 1 + pg_temp.pick(i, 44, 25000) END,
        s, CASE WHEN s = 'JUNK' THEN 'No budget' END, CASE WHEN i % 5 <> 0 THEN 100 * pg_temp.pick(i, 46, 400) + 0.5 END, 'EUR', pg_temp.one(ARRAY['WEB','CALL','EMAIL','ADVERTISING'], i, 47),
        pg_temp.one(thing, i, 48) || ' for ' || pg_temp.one(city, i, 49), pg_temp.one(given, i, 50), pg_temp.one(family, i, 51), CASE WHEN i % 2 = 0 THEN pg_temp.one(brand, i, 52) || ' ' || pg_temp.one(trade, i, 53) END,
        pg_temp.one(post, i, 54), pg_temp.spice(i, NULL), pg_temp.one(ARRAY['HNR_1','HNR_2'], i, 55), CASE WHEN s IN ('JUNK','CONVERTED') THEN t + interval '5 days' END, 'lead ' || i
    FROM w, generate_series(1, 12000) i, LATERAL (SELECT pg_temp.ago(i, 56, 900) AS t, pg_temp.one(ARRAY['NEW','IN_PROCESS','PROCESSED','CONVERTED','JUNK'], i, 45) AS s) x;

INSERT INTO b_crm_deal (date_create, date_modify, created_by_id, modify_by_id, assigned_by_id, opened, lead_id, company_id, contact_id, title, category_id, stage_id, stage_semantic_id, is_recurring, closed, type_id, opportunity, currency_id, probability, comments, begindate, closedate, additional_info, search_content)
    SELECT t, t + interval '6 hours', 1 + pg_temp.pick(i, 61, 60), 1 + pg_temp.pick(i, 62, 60), 1 + pg_temp.pick(i, 63, 60), 'Y', CASE WHEN i % 6 = 0 THEN 1 + pg_temp.pick(i, 64, 12000) END,
        1 + pg_temp.pick(i, 65, 8000), CASE WHEN i % 3 <> 0 THEN 1 + pg_temp.pick(i, 66, 25000) END, pg_temp.one(thing, i, 67) || ' #' || i,
        c, CASE WHEN c = 1 THEN 'C1:' || CASE s WHEN 'PREPARATION' THEN 'NEW' ELSE s END ELSE s END, CASE s WHEN 'WON' THEN 'S' WHEN 'LOSE' THEN 'F' ELSE 'P' END, CASE WHEN i % 500 = 0 THEN 'Y' ELSE 'N' END,
        CASE WHEN s IN ('WON','LOSE') THEN 'Y' ELSE 'N' END, pg_temp.one(ARRAY['SALE','SALE','SERVICE','COMPLEX'], i, 70), 50 * (1 + pg_temp.pick(i, 71, 2400)) + 0.99, 'EUR',
        pg_temp.pick(i, 72, 101), pg_temp.spice(i, CASE WHEN i % 7 = 0 THEN 'Discount of 3 % agreed' END), t, t + pg_temp.pick(i, 73, 90) * interval '1 day',
        jsonb_build_object('margin', pg_temp.pick(i, 74, 40), 'campaign', pg_temp.one(brand, i, 75)), 'deal ' || i
    FROM w, generate_series(1, 20000) i, LATERAL (SELECT pg_temp.ago(i, 76, 800) AS t, CASE WHEN i % 4 = 0 THEN 1 ELSE 0 END AS c, pg_temp.one(ARRAY['NEW','PREPARATION','EXECUTING','WON','WON','LOSE'], i, 69) AS s) x;

INSERT INTO b_crm_field_multi (entity_id, element_id, type_id, value_type, complex_id, value)
    SELECT e, i, t, v, t || '_' || v, CASE t WHEN 'PHONE' THEN '+49 ' || (100 + pg_temp.pick(i, s, 800)) || ' ' || (100000 + pg_temp.pick(i, s + 1, 800000)) WHEN 'WEB' THEN 'https://firma' || i || '.example' ELSE lower(v) || i || '@mail.example' END
    FROM (VALUES ('CONTACT','PHONE','WORK',25000,1,101),('CONTACT','PHONE','MOBILE',25000,2,103),('CONTACT','EMAIL','WORK',25000,1,105),('CONTACT','EMAIL','HOME',25000,5,107),('CONTACT','PHONE','WORK',25000,15,109),
        ('COMPANY','PHONE','WORK',8000,1,111),('COMPANY','EMAIL','WORK',8000,1,113),('COMPANY','WEB','WORK',8000,2,115),('LEAD','PHONE','WORK',12000,2,117),('LEAD','EMAIL','WORK',12000,2,119)) k(e, t, v, most, every, s),
        LATERAL generate_series(every, most, every) i;

INSERT INTO b_crm_act (type_id, owner_id, owner_type_id, subject, description, completed, responsible_id, start_time, length)
    SELECT 1 + pg_temp.pick(i, 121, 6), 1 + pg_temp.pick(i, 122, 20000), 2, pg_temp.one(ARRAY['Call back','Send the offer','Meeting','Visit','Reminder'], i, 123), 'Talked about ' || pg_temp.one(thing, i, 124) || '. ' || repeat('Details follow. ', pg_temp.pick(i, 125, 6)),
        CASE WHEN i % 3 = 0 THEN 'N' ELSE 'Y' END, 1 + pg_temp.pick(i, 126, 60), pg_temp.ago(i, 127, 700), pg_temp.pick(i, 128, 120) * interval '1 minute'
    FROM w, generate_series(1, 30000) i;
INSERT INTO b_crm_timeline (type_id, created, author_id, entity_type, entity_id, comment, settings)
    SELECT 1 + pg_temp.pick(i, 131, 9), pg_temp.ago(i, 132, 700) AT TIME ZONE 'UTC', 1 + pg_temp.pick(i, 133, 60), pg_temp.one(ARRAY['DEAL','LEAD','CONTACT','COMPANY'], i, 134), 1 + pg_temp.pick(i, 135, 8000),
        CASE WHEN i % 3 = 0 THEN 'TIMELINE-COMMENT ' || i END, jsonb_build_object('n', i % 100)
    FROM generate_series(1, 30000) i;
INSERT INTO b_crm_event (date_create, created_by_id, event_name, deal_id, event_text_1, event_text_2)
    SELECT pg_temp.ago(i, 141, 700), 1 + pg_temp.pick(i, 142, 60), 'Stage changed', 1 + pg_temp.pick(i, 143, 20000), 'NEW', 'HISTORY-TEXT ' || i FROM generate_series(1, 15000) i;
INSERT INTO b_tasks (title, state, created_by, responsible_id, parent_id, deal_id, deadline, tags, estimate_minutes)
    SELECT pg_temp.one(ARRAY['Prepare','Check','Send','Order','Review'], i, 151) || ' ' || lower(pg_temp.one(thing, i, 152)), pg_temp.one(ARRAY['new','doing','done','deferred'], i, 153)::task_state, 1 + pg_temp.pick(i, 154, 60), 1 + pg_temp.pick(i, 155, 60),
        CASE WHEN i > 100 AND i % 10 = 0 THEN i / 10 END, CASE WHEN i % 2 = 0 THEN 1 + pg_temp.pick(i, 156, 20000) END, pg_temp.ago(i, 157, 300) AT TIME ZONE 'UTC' + interval '60 days', CASE WHEN i % 4 = 0 THEN ARRAY['urgent', 'needs, "care"'] ELSE '{}' END, 15 * (1 + pg_temp.pick(i, 158, 40))
    FROM w, generate_series(1, 10000) i ORDER BY i;
INSERT INTO b_calendar_event (owner_id, name, during, attachment)
    SELECT 1 + pg_temp.pick(i, 161, 60), 'Meeting ' || i, tstzrange(t, t + interval '1 hour'), CASE WHEN i % 20 = 0 THEN decode(md5(i::text), 'hex') END
    FROM generate_series(1, 2000) i, LATERAL (SELECT pg_temp.ago(i, 162, 400) AT TIME ZONE 'UTC' AS t) x;
COMMIT;
REFRESH MATERIALIZED VIEW pipeline;
ANALYZE;
