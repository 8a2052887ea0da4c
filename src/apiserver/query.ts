import { errors } from '#api/machinery/errors.ts';

/** As Go's ParseBool reads it; anything it does not know is false. */
export function isTrue(text: string | null): boolean {
  return text === 'true' || text === '1' || text === 't' || text === 'T' || text === 'TRUE' || text === 'True';
}

/** A whole number from the query, undefined when there is none. Throws ApiError BadRequest for anything else. */
export function integerIn(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name) ?? '';
  if (text === '') return undefined;
  if (/^[-+]?\d+$/.test(text)) return Number(text);
  throw errors.badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
}
