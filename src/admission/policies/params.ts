import type { ParamKind } from '#api/admissionregistration/v1/param-kind.ts';
import type { ParamRef } from '#api/admissionregistration/v1/param-ref.ts';
import { isReason } from '#api/machinery/errors.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { formatLabelSelector } from '#api/machinery/selector.ts';
import type { AdmissionRequest } from '../admission.ts';
import type { Sources } from '../sources.ts';

/** The kind of a policy's params; an Error when nobody serves it. */
export function paramKindOf({ apiVersion, kind }: ParamKind, request: AdmissionRequest): Kind {
  const found = request.served?.find(apiVersion ?? '', kind ?? '');
  if (found) return found;
  const slash = (apiVersion ?? '').includes('/') ? apiVersion : `/${apiVersion}`;
  throw new Error(`failed to find resource referenced by paramKind: '${slash}, Kind=${kind}'`);
}

/** The objects that a binding names as params. Undefined stands for a policy that runs without. Throws an Error. */
export async function paramsOf(
  kind: Kind | undefined,
  ref: ParamRef | undefined,
  { namespace }: AdmissionRequest,
  { client }: Pick<Sources, 'client'>,
): Promise<readonly (ApiObject | undefined)[]> {
  if (!kind || !ref) return [undefined];
  const wanted = ref.namespace ?? '';
  const within = wanted === '' ? namespace : wanted;
  if (kind.namespaced && within === '')
    throw new Error('cannot use namespaced paramRef in policy binding that matches cluster-scoped resources');
  if (!kind.namespaced && wanted !== '')
    throw new Error('paramRef.namespace must not be provided for a cluster-scoped `paramKind`');
  const found = await read(client, kind, ref, kind.namespaced ? within : '');
  if (found.length === 0 && ref.parameterNotFoundAction === 'Deny')
    throw new Error('no params found for policy binding with `Deny` parameterNotFoundAction');
  return found;
}

/** From the API itself: in the same process it is the newest copy there is. */
async function read(
  client: Sources['client'],
  kind: Kind,
  { name = '', selector }: ParamRef,
  namespace: string,
): Promise<readonly ApiObject[]> {
  const within = namespace === '' ? {} : { namespace };
  if (name !== '' && selector) throw new Error('paramRef.name and paramRef.selector are mutually exclusive');
  if (selector) {
    const text = formatLabelSelector(selector);
    const { items } = await client.list(kind, { ...within, ...(text !== '<none>' && { labelSelector: text }) });
    return items;
  }
  if (name === '') throw new Error('one of name or selector must be provided');
  try {
    return [await client.get(kind, name, within)];
  } catch (error) {
    if (isReason(error, 'NotFound')) return [];
    throw error;
  }
}
