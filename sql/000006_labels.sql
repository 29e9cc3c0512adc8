-- Timers that got their labels before there was a row for each.
INSERT INTO belfry.timer_labels (project_id, label, timer_id)
SELECT project_id, label, id FROM belfry.timers, unnest(labels) AS label
UNION
SELECT project_id, label, id FROM belfry.history, unnest(labels) AS label
ON CONFLICT DO NOTHING;
