-- A small Bitrix24-like CRM as its MySQL schema has it: names in upper case, codes and ids, phones beside their owners.
SET NAMES utf8mb4;
SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00';
CREATE TABLE b_user (ID int(18) PRIMARY KEY, NAME varchar(50), LAST_NAME varchar(50));
CREATE TABLE b_crm_status (ID int PRIMARY KEY, ENTITY_ID varchar(50), STATUS_ID varchar(50), NAME varchar(100));
CREATE TABLE b_crm_deal_category (ID int PRIMARY KEY, NAME varchar(100));
CREATE TABLE b_crm_field_multi (ID int PRIMARY KEY, ENTITY_ID varchar(16), ELEMENT_ID int, TYPE_ID varchar(16), VALUE_TYPE varchar(50), VALUE varchar(250));
CREATE TABLE b_crm_company (
  ID int unsigned PRIMARY KEY, TITLE varchar(255), COMPANY_TYPE varchar(50), INDUSTRY varchar(50), EMPLOYEES varchar(50), REVENUE decimal(18,2),
  CURRENCY_ID char(3), COMMENTS text, ADDRESS text, ADDRESS_LEGAL text, BANKING_DETAILS text, OPENED char(1), ASSIGNED_BY_ID int, LEAD_ID int,
  DATE_CREATE datetime, DATE_MODIFY timestamp NULL, ORIGINATOR_ID varchar(255), ORIGIN_ID varchar(255), SEARCH_CONTENT longtext, CATEGORY_ID int DEFAULT 0, IS_MY_COMPANY char(1) DEFAULT 'N');
CREATE TABLE b_crm_contact (
  ID int unsigned PRIMARY KEY, HONORIFIC varchar(50), NAME varchar(50), SECOND_NAME varchar(50), LAST_NAME varchar(50), FULL_NAME varchar(100), BIRTHDATE date, POST varchar(255),
  COMPANY_ID int, TYPE_ID varchar(50), SOURCE_ID varchar(50), SOURCE_DESCRIPTION text, ADDRESS text, COMMENTS text, EXPORT char(1), OPENED char(1),
  ASSIGNED_BY_ID int, LEAD_ID int, DATE_CREATE datetime, DATE_MODIFY datetime, ORIGINATOR_ID varchar(255), ORIGIN_ID varchar(255), FACE_ID int, CATEGORY_ID int DEFAULT 0);
CREATE TABLE b_crm_lead (
  ID int unsigned PRIMARY KEY, TITLE varchar(255), NAME varchar(50), SECOND_NAME varchar(50), LAST_NAME varchar(50), COMPANY_TITLE varchar(255), POST varchar(255), ADDRESS text,
  STATUS_ID varchar(50), STATUS_DESCRIPTION text, OPPORTUNITY decimal(18,2), CURRENCY_ID char(3), SOURCE_ID varchar(50), SOURCE_DESCRIPTION text, COMMENTS text, OPENED char(1),
  ASSIGNED_BY_ID int, COMPANY_ID int, CONTACT_ID int, DATE_CREATE datetime, DATE_MODIFY datetime, DATE_CLOSED datetime);
CREATE TABLE b_crm_deal (
  ID int unsigned PRIMARY KEY, TITLE varchar(255), TYPE_ID varchar(50), CATEGORY_ID int, STAGE_ID varchar(50), STAGE_SEMANTIC_ID varchar(3), PROBABILITY tinyint(3), OPPORTUNITY decimal(18,2), CURRENCY_ID char(3),
  COMPANY_ID int, CONTACT_ID int, BEGINDATE datetime, CLOSEDATE datetime, CLOSED char(1), OPENED char(1), SOURCE_ID varchar(50), SOURCE_DESCRIPTION text, COMMENTS text, ASSIGNED_BY_ID int,
  DATE_CREATE datetime, DATE_MODIFY datetime, LEAD_ID int, IS_RECURRING char(1) DEFAULT 'N', SCORE float);
CREATE TABLE b_crm_act (ID int PRIMARY KEY, SUBJECT text);
CREATE TABLE b_crm_timeline (ID int PRIMARY KEY, COMMENT text);
INSERT INTO b_crm_act VALUES (1, 'never in an export');
INSERT INTO b_crm_timeline VALUES (1, 'never in an export');
INSERT INTO b_user VALUES (1, 'Ann', 'Ash');
INSERT INTO b_crm_status VALUES (1, 'COMPANY_TYPE', 'CUSTOMER', 'Client'), (2, 'INDUSTRY', 'IT', 'Computers'), (3, 'STATUS', 'NEW', 'Unassigned'), (4, 'DEAL_STAGE_1', 'C1:NEW', 'Begun'), (5, 'DEAL_STAGE', 'NEW', 'New'), (6, 'SOURCE', 'WEB', 'Web');
INSERT INTO b_crm_deal_category VALUES (1, 'Second pipeline');
INSERT INTO b_crm_company (ID, TITLE, COMPANY_TYPE, INDUSTRY, REVENUE, CURRENCY_ID, COMMENTS, OPENED, ASSIGNED_BY_ID, DATE_CREATE, DATE_MODIFY) VALUES
  (17, 'Müller & Söhne; "best" 😀', 'CUSTOMER', 'IT', 12.50, 'EUR', 'two\nlines\tand a tab', 'Y', 1, '2026-11-01 10:00:00', '2026-11-02 23:30:00'),
  (18, '=HYPERLINK("x")', NULL, NULL, -1, 'EUR', NULL, 'N', 1, '2026-11-01 10:00:00', NULL);
INSERT INTO b_crm_company (ID, TITLE, IS_MY_COMPANY) VALUES (19, 'ourselves', 'Y');
INSERT INTO b_crm_contact (ID, NAME, LAST_NAME, FULL_NAME, BIRTHDATE, COMPANY_ID, SOURCE_ID, EXPORT, OPENED, ASSIGNED_BY_ID, DATE_CREATE) VALUES
  (7, 'Đặng', 'Văn Lâm', 'Đặng Văn Lâm', '1980-02-29', 17, 'WEB', 'Y', 'Y', 1, '2026-11-01 10:00:00'), (8, 'No', 'Birthday', 'No Birthday', '0000-00-00', NULL, NULL, 'N', 'N', 1, NULL);
INSERT INTO b_crm_field_multi VALUES (1, 'CONTACT', 7, 'PHONE', 'WORK', '+49 30 123456'), (2, 'CONTACT', 7, 'PHONE', 'WORK', '+49 30 654321'), (3, 'CONTACT', 7, 'EMAIL', 'HOME', 'a@b.example'), (4, 'COMPANY', 17, 'PHONE', 'WORK', '112');
INSERT INTO b_crm_lead (ID, TITLE, STATUS_ID, OPPORTUNITY, CURRENCY_ID, OPENED, ASSIGNED_BY_ID, DATE_CREATE) VALUES (3, 'lead', 'NEW', 100, 'EUR', 'Y', 1, '2026-11-01 10:00:00');
INSERT INTO b_crm_deal (ID, TITLE, CATEGORY_ID, STAGE_ID, OPPORTUNITY, CURRENCY_ID, COMPANY_ID, CONTACT_ID, CLOSED, OPENED, ASSIGNED_BY_ID, DATE_CREATE) VALUES
  (5, 'deal', 1, 'C1:NEW', 99999999.99, 'EUR', 17, 7, 'N', 'Y', 1, '2026-11-01 10:00:00');
