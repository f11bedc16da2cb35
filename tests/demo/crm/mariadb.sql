-- More rows for tests/engines/crm.sql, about 70,000 and the same ones on every run, and what a restore must bring back around them.
-- MariaDB only (its seq_ tables).
SET NAMES utf8mb4;
INSERT INTO b_crm_company (ID, TITLE, COMPANY_TYPE, INDUSTRY, REVENUE, CURRENCY_ID, OPENED, ASSIGNED_BY_ID, DATE_CREATE)
  SELECT 1000 + seq, CONCAT('Công ty ', seq, '; "Söhne" 😀'), 'CUSTOMER', 'IT', seq * 1.25, 'EUR', 'Y', 1, '2026-11-01 10:00:00' + INTERVAL seq SECOND FROM seq_1_to_3000;
INSERT INTO b_crm_contact (ID, NAME, LAST_NAME, FULL_NAME, COMPANY_ID, SOURCE_ID, EXPORT, OPENED, ASSIGNED_BY_ID, COMMENTS)
  SELECT 1000 + seq, CONCAT('Văn ', seq), CONCAT('L', seq % 90), CONCAT('Văn ', seq, ' L', seq % 90), 1000 + seq % 3000, 'WEB', 'Y', 'N', 1, IF(seq % 7, NULL, '=1+1')
  FROM seq_1_to_10000;
INSERT INTO b_crm_field_multi SELECT 1000 + seq, 'CONTACT', 1000 + seq % 10000, IF(seq % 2, 'PHONE', 'EMAIL'), 'WORK', IF(seq % 2, CONCAT('+84 9', seq), CONCAT(seq, '@mail.example')) FROM seq_1_to_20000;
INSERT INTO b_crm_lead (ID, TITLE, STATUS_ID, OPPORTUNITY, CURRENCY_ID, OPENED, ASSIGNED_BY_ID, DATE_CREATE)
  SELECT 1000 + seq, CONCAT('lead ', seq), 'NEW', seq, 'EUR', 'Y', 1, '2026-11-01 10:00:00' FROM seq_1_to_2000;
INSERT INTO b_crm_deal (ID, TITLE, CATEGORY_ID, STAGE_ID, OPPORTUNITY, CURRENCY_ID, COMPANY_ID, CONTACT_ID, CLOSED, OPENED, ASSIGNED_BY_ID, SCORE)
  SELECT 1000 + seq, CONCAT('deal ', seq), 1, 'C1:NEW', seq, 'EUR', 1000 + seq % 3000, 1000 + seq % 10000, 'N', 'Y', 1, seq / 3 FROM seq_1_to_10000;
INSERT INTO b_crm_timeline SELECT 1000 + seq, CONCAT('never in an export ', seq) FROM seq_1_to_25000;
CREATE DEFINER = umbra VIEW pipeline AS SELECT STAGE_ID, COUNT(*) AS deals, SUM(OPPORTUNITY) AS worth FROM b_crm_deal GROUP BY STAGE_ID;
CREATE DEFINER = umbra FUNCTION greeting (name varchar(50)) RETURNS varchar(60) CHARSET utf8mb4 DETERMINISTIC RETURN CONCAT('Xin chào ', name);
CREATE DEFINER = umbra TRIGGER stamped BEFORE UPDATE ON b_crm_deal FOR EACH ROW SET NEW.DATE_MODIFY = '2026-11-20 08:00:00';
CREATE DEFINER = umbra EVENT cleanup ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01 00:00:00' DO DELETE FROM b_crm_act WHERE ID < 0;
