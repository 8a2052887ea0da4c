import { errors } from '#api/machinery/errors.ts';
import type { FieldError } from '#api/machinery/validation.ts';
import { isGiven } from './query.ts';

/** What a list or a watch asks for beside its selectors. */
export interface ListOptions {
  readonly resourceVersion: string;
  readonly resourceVersionMatch: string;
  readonly continue: string;
  /** Undefined: not said, and upstream has no default for it. */
  readonly sendInitialEvents: boolean | undefined;
}

/** Throws ApiError Invalid for combinations that upstream refuses, in its words. */
export function listOptionsOf(query: URLSearchParams, isWatch: boolean): ListOptions {
  const options = isWatch ? withDefaults(read(query)) : read(query);
  const found = isWatch ? watchErrors(options) : listErrors(options);
  if (found.length > 0) throw errors.invalid('meta.k8s.io', 'ListOptions', '', found);
  return options;
}

function read(query: URLSearchParams): ListOptions {
  return {
    resourceVersion: query.get('resourceVersion') ?? '',
    resourceVersionMatch: query.get('resourceVersionMatch') ?? '',
    continue: query.get('continue') ?? '',
    sendInitialEvents: isGiven(query, 'sendInitialEvents'),
  };
}

/** A watch of old, from nowhere or from 0, begins with the state. */
function withDefaults(options: ListOptions): ListOptions {
  const { resourceVersion, resourceVersionMatch, sendInitialEvents } = options;
  const isOfOld = sendInitialEvents === undefined && resourceVersionMatch === '';
  if (!isOfOld || (resourceVersion !== '' && resourceVersion !== '0')) return options;
  return { ...options, sendInitialEvents: true, resourceVersionMatch: 'NotOlderThan' };
}

function listErrors({ resourceVersion, resourceVersionMatch: match, ...options }: ListOptions): readonly FieldError[] {
  const found: FieldError[] = [];
  if (match !== '') {
    if (resourceVersion === '') found.push(forbidden('is forbidden unless resourceVersion is provided'));
    if (options.continue !== '') found.push(forbidden('is forbidden when continue is provided'));
    if (match !== 'Exact' && match !== 'NotOlderThan') found.push(unsupported(match, '"Exact", "NotOlderThan", ""'));
    if (match === 'Exact' && resourceVersion === '0')
      found.push(forbidden('"exact" is forbidden for resourceVersion "0"'));
  }
  if (options.sendInitialEvents !== undefined)
    found.push({
      type: 'FieldValueForbidden',
      field: 'sendInitialEvents',
      message: 'Forbidden: sendInitialEvents is forbidden for list',
    });
  return found;
}

function watchErrors({
  resourceVersionMatch: match,
  sendInitialEvents,
  ...options
}: ListOptions): readonly FieldError[] {
  const found: FieldError[] = [];
  if (sendInitialEvents !== undefined && match !== 'NotOlderThan')
    found.push({
      type: 'FieldValueForbidden',
      field: 'resourceVersionMatch',
      message: 'Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
    });
  if (match === '') return found;
  if (sendInitialEvents === undefined)
    found.push(forbidden('is forbidden for watch unless sendInitialEvents is provided'));
  if (match !== 'NotOlderThan') found.push(unsupported(match, '"NotOlderThan"'));
  if (options.continue !== '') found.push(forbidden('is forbidden when continue is provided'));
  return found;
}

function forbidden(why: string): FieldError {
  return {
    type: 'FieldValueForbidden',
    field: 'resourceVersionMatch',
    message: `Forbidden: resourceVersionMatch ${why}`,
  };
}

function unsupported(match: string, supported: string): FieldError {
  return {
    type: 'FieldValueNotSupported',
    field: 'resourceVersionMatch',
    message: `Unsupported value: ${JSON.stringify(match)}: supported values: ${supported}`,
  };
}
