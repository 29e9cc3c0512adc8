import type { TObject } from 'typebox';

/** A schema as plain JSON. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/**
 * What Ajv checks of a body before core reads it: that it is an object of these fields and no others.
 * What they hold is core's to judge, whose messages say what a field takes; only a flag, about which
 * there is no more to say than its type, is checked here. So the documented schema and the one that
 * runs are the same list of fields.
 */
export function fieldsOnly({ properties }: TObject): JsonSchema {
  const fields = Object.entries(properties).map(([name, schema]): [string, JsonSchema] => [
    name,
    'type' in schema && schema.type === 'boolean' ? { type: 'boolean' } : {},
  ]);
  return { type: 'object', properties: Object.fromEntries(fields), additionalProperties: false };
}
