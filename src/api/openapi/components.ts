import type { JsonSchema } from '../schemas/fieldsOnly.ts';

const schemaWords = new Set(['items', 'additionalProperties', 'propertyNames', 'not']);
const schemaListWords = new Set(['anyOf', 'oneOf', 'allOf']);
const schemaMapWords = new Set(['properties', 'patternProperties']);

/**
 * Gathers named schemas: each that has the title of a component (`NewTimer`) is kept once, and a
 * reference stands in its place.
 */
export function createComponents() {
  const schemas = new Map<string, JsonSchema>();
  const sources = new Map<string, unknown>();

  /** The schema as it stands in the document. */
  function place(schema: unknown): unknown {
    if (!isObject(schema)) return schema;
    const { title } = schema;
    if (typeof title !== 'string' || !/^[A-Z][A-Za-z]+$/.test(title)) return placed(schema);
    const known = sources.get(title);
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(schema)) {
      throw new Error(`two schemas are called ${title}`);
    }
    if (known === undefined) {
      sources.set(title, schema);
      const { title: _, ...rest } = placed(schema);
      schemas.set(title, rest);
    }
    return { $ref: `#/components/schemas/${title}` };
  }

  function placed(schema: JsonSchema): JsonSchema {
    return Object.fromEntries(
      Object.entries(schema).map(([word, value]) => [word, placedWord(word, value)]),
    );
  }

  function placedWord(word: string, value: unknown): unknown {
    if (schemaWords.has(word)) return place(value);
    if (schemaListWords.has(word) && Array.isArray(value)) return value.map(place);
    if (schemaMapWords.has(word) && isObject(value)) {
      return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, place(each)]));
    }
    return value;
  }

  return { place, schemas: () => Object.fromEntries(schemas) };
}

function isObject(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
