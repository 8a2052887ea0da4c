import { decodeObject } from './machinery/decode.ts';
import { applyDefaults, defaultObject } from './machinery/defaults.ts';
import type { Draft, Kind } from './machinery/kind.ts';
import { Report } from './machinery/validation.ts';

/*
 * What tests of kinds share: objects taken through the steps of a create or an update, as the server takes them.
 */

export type Body = Record<string, unknown>;

/** The object as it would be stored: decoded, defaulted, prepared. */
export function created(kind: Kind, body: Body): Body {
  const { object } = decodeObject(kind.schema, structuredClone(body) as never, { unknown: 'drop' });
  const draft = object as Body & { metadata: Body };
  defaultObject(kind, draft as never);
  draft.metadata['uid'] = 'uid-1';
  draft.metadata['creationTimestamp'] = '2026-01-01T00:00:00Z';
  kind.prepareForCreate?.(draft as unknown as Draft<never>);
  return draft;
}

/** What is wrong with it at creation: `spec.ports[0].port FieldValueRequired`. */
export function mistakes(kind: Kind, body: Body): string[] {
  const report = new Report();
  const object = created(kind, body) as never;
  kind.validate?.(object, report);
  kind.validateCreate?.(object, report);
  return linesOf(report);
}

/** What is wrong with changing the one into the other. */
export function updateMistakes(kind: Kind, before: Body, after: Body): string[] {
  const report = new Report();
  const [old, object] = [created(kind, before), created(kind, after)] as [never, never];
  if (kind.changeRules !== 'alone') kind.validate?.(object, report);
  kind.validateUpdate?.(object, old, report);
  return linesOf(report);
}

function linesOf({ errors }: Report): string[] {
  return errors.map(({ type, field }) => `${field} ${type}`);
}

/** The cells of its row, without those that only `-o wide` shows. */
export function cells(kind: Kind, body: Body, nowMs = Date.parse('2026-01-01T01:00:00Z')): unknown[] {
  const { object } = decodeObject(kind.schema, structuredClone(body) as never, { unknown: 'drop' });
  applyDefaults(kind.schema, object as never);
  kind.default?.(object as never);
  return (kind.columns ?? [])
    .filter(({ priority = 0 }) => priority === 0)
    .map(({ cell }) => cell(object as never, nowMs));
}

/** A copy with one value replaced, or taken away when it is undefined. */
export function altered(body: Body, path: string, value: unknown): Body {
  const copy = structuredClone(body);
  const names = path.split('.');
  const last = names.pop() ?? '';
  let holder = copy;
  for (const name of names) holder = (holder[name] ??= {}) as Body;
  if (value === undefined) delete holder[last];
  else holder[last] = value;
  return copy;
}
