import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One test of the official conformance suite, as the reference lists it. */
export interface OfficialTest {
  readonly area: string;
  /** Its code name: what the suite prints. */
  readonly name: string;
}

const file = join(import.meta.dirname, '..', '..', '..', 'shared', 'reference', 'kubernetes-1.36', 'conformance.json');

/** The tests of v1.36; `undefined` where the reference is not beside the checkout. */
export function officialTests(): readonly OfficialTest[] | undefined {
  if (!existsSync(file)) return undefined;
  const listed = JSON.parse(readFileSync(file, 'utf8')) as { area: string; code: string; st: string }[];
  return listed.filter(({ st }) => st !== 'new in 1.37').map(({ area, code }) => ({ area, name: code }));
}
