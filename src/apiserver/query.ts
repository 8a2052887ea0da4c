import { errors } from '#api/machinery/errors.ts';

/** As upstream reads a parameter that is true or false: anything but false and 0 is true, and so is one without a value. */
export function isTrue(text: string | null): boolean {
  return text !== null && text !== '0' && text.toLowerCase() !== 'false';
}

/** As Go's ParseBool reads it; what it does not know is false. */
export function parseBool(text: string): boolean {
  return ['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text);
}

/** Undefined when the query does not say. */
export function isGiven(query: URLSearchParams, name: string): boolean | undefined {
  const text = query.get(name);
  return text === null ? undefined : isTrue(text);
}

const integerMax = 2n ** 63n;

/** A whole number from the query, undefined when there is none. Throws ApiError BadRequest for anything else. */
export function integerIn(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  if (!/^[-+]?\d+$/.test(text)) throw wrong(text, 'invalid syntax');
  const value = BigInt(text.replace('+', ''));
  if (value >= integerMax || value < -integerMax) throw wrong(text, 'value out of range');
  return Number(value);
}

function wrong(text: string, why: string) {
  return errors.badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: ${why}`);
}
