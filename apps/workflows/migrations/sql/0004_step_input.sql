-- What a step gets of its workflow's input: all of it, or the fields that its definition names (input_fields), so
-- that a large text is not sent along with every step. A small input goes whole, since looking the names up would cost
-- more than it saves; the worker leaves the rest out by itself.
CREATE OR REPLACE FUNCTION workflows_step_input(p_input jsonb, p_definition bigint, p_node text)
RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    v_fields jsonb;
BEGIN
    IF pg_column_size(p_input) < 512 THEN  -- as it is stored, which may be compressed
        RETURN p_input;
    END IF;
    SELECT spec -> 'input_fields' INTO v_fields
    FROM workflows_workflowdefinition d, jsonb_array_elements(d.content -> 'steps') AS spec
    WHERE d.id = p_definition AND spec ->> 'key' = p_node;
    IF v_fields IS NULL THEN
        RETURN p_input;
    END IF;
    RETURN (SELECT coalesce(jsonb_object_agg(field, p_input -> field), '{}')
            FROM jsonb_array_elements_text(v_fields) AS field WHERE p_input ? field);
END $$;
