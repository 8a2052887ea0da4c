import { sameValue } from '../../machinery/checks.ts';
import type { Report } from '../../machinery/validation.ts';

/** What the entries of a ConfigMap or Secret may have together. */
export const dataBytesMax = 1024 * 1024;

/** Bytes behind a base64 text. */
export function decodedLength(base64: string): number {
  const padding = base64.endsWith('==') ? 2 : base64.endsWith('=') ? 1 : 0;
  return Math.floor((base64.length * 3) / 4) - padding;
}

/** Once immutable, always immutable. */
export function validateImmutableData<Name extends string>(
  item: { readonly immutable?: boolean | undefined } & { readonly [Key in Name]?: unknown },
  old: { readonly immutable?: boolean | undefined } & { readonly [Key in Name]?: unknown },
  fields: readonly Name[],
  report: Report,
): void {
  if (!old.immutable) return;
  const message = 'field is immutable when `immutable` is set';
  if (!item.immutable) report.at('immutable').forbidden(message);
  for (const name of fields) if (!sameValue(item[name], old[name])) report.at(name).forbidden(message);
}
