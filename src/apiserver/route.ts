import { errors } from '#api/machinery/errors.ts';
import type { Kind } from '#api/machinery/kind.ts';
import type { Call } from './call.ts';
import { contentTypes, essence } from './media-type.ts';

const patchTypes = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
  'application/apply-patch+yaml',
];

/** These have forms of their own. */
const streams = new Set(['attach', 'exec', 'log', 'portforward', 'proxy']);

/** Upstream's router knows no empty segment, and nothing behind a subresource that passes nothing on. Throws NotFound. */
export function checkPath({ info }: Call, kind: Kind): void {
  if (kind.custom || info.subresource === 'proxy') return;
  if (info.path.includes('//') || info.rest.length > 1) throw errors.noSuchResource();
}

/**
 * What upstream's router knows of a built-in resource: a patch of no type it takes and an Accept that fits none of its
 * forms end there, in words of its own. Throws ApiError UnsupportedMediaType or NotAcceptable.
 */
export function checkForms(call: Call, kind: Kind): void {
  const { info } = call;
  if (kind.custom || streams.has(info.subresource)) return;
  if (info.verb === 'patch' && !patchTypes.includes(essence(call.header('content-type'))))
    throw errors.other('UnsupportedMediaType', '415: Unsupported Media Type', {});
  const accept = call.header('accept');
  if (accept === '' || accept === '*/*' || accept === contentTypes.json) return;
  const forms = Object.values(contentTypes);
  if (info.verb === 'list' || info.verb === 'watch')
    forms.push(`${contentTypes.json};stream=watch`, `${contentTypes.protobuf};stream=watch`);
  const isKnown = accept
    .split(',')
    .map(each => each.trim().split(';')[0] ?? '')
    .some(each => each === '*/*' || forms.includes(each));
  if (!isKnown)
    throw errors.other('NotAcceptable', `406: Not Acceptable\n\nAvailable representations: ${forms.join(', ')}`, {});
}
