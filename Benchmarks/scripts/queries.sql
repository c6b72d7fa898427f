-- Inserts, an index, joins and aggregates in an in-memory data base. ROWS is replaced by the harness.
CREATE TABLE guest (id INTEGER PRIMARY KEY, name TEXT, host INTEGER, cost REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ROWS)
INSERT INTO guest SELECT i, printf('guest-%05d', i * 7919 % 100003), i % 97, i * 0.25 FROM n;
CREATE INDEX byName ON guest (name);
CREATE TABLE host AS SELECT host AS id, count(*) AS guests, sum(cost) AS cost FROM guest GROUP BY host;
SELECT count(*), sum(g.cost), max(h.guests) FROM guest g JOIN host h ON h.id = g.host WHERE g.name LIKE '%7%';
SELECT name FROM guest ORDER BY name DESC LIMIT 3;
SELECT substr(name, 1, 7), count(*), round(avg(cost), 3) FROM guest GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 4;
UPDATE guest SET cost = cost * 2 WHERE host % 2 = 0;
DELETE FROM guest WHERE host = 5;
SELECT count(*), sum(cost) FROM guest;
