import { type Library, method } from '../functions.ts';
import { regexOf } from '../regex.ts';
import { intType, listOf, stringType } from '../types.ts';
import { CelError, CelList, type Result } from '../values.ts';

/** Kubernetes' own functions on regular expressions. */
export const regexLibrary: Library = [
  ['find', method('string_find_string', [stringType, stringType], stringType, find)],
  [
    'findAll',
    method('string_find_all_string', [stringType, stringType], listOf(stringType), findAll),
    method('string_find_all_string_int', [stringType, stringType, intType], listOf(stringType), findAll),
  ],
];

function find(text: string, pattern: string): Result {
  const regex = regexOf(pattern);
  if (regex instanceof CelError) return new CelError(`Illegal regex: ${regex.message}`);
  const match = regex.find(text);
  return match === undefined ? '' : text.slice(match.start, match.end);
}

function findAll(text: string, pattern: string, count: number | bigint = -1): Result {
  const regex = regexOf(pattern);
  if (regex instanceof CelError) return new CelError(`Illegal regex: ${regex.message}`);
  return new CelList(regex.findAll(text, count < 0 ? Number.POSITIVE_INFINITY : Number(count)));
}
