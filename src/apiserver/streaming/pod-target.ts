import { errors } from '#api/machinery/errors.ts';
import type { Pod } from '#api/core/v1/pod.ts';

/** The container a request is about: the one it names, or the only one. Throws BadRequest. */
export function containerOf(pod: Pod, asked: string): string {
  const { name } = pod.metadata;
  const names = (containers: readonly { readonly name: string }[] | undefined) =>
    (containers ?? []).map(each => each.name);
  const containers = names(pod.spec?.containers);
  const initContainers = names(pod.spec?.initContainers);
  if (asked !== '') {
    if ([...containers, ...initContainers, ...names(pod.spec?.ephemeralContainers)].includes(asked)) return asked;
    throw errors.badRequest(`container ${asked} is not valid for pod ${name}`);
  }
  const [only, ...others] = containers;
  if (only === undefined) throw errors.badRequest(`a container name must be specified for pod ${name}`);
  if (others.length === 0) return only;
  const init = initContainers.length > 0 ? ` or one of the init containers: [${initContainers.join(' ')}]` : '';
  throw errors.badRequest(
    `a container name must be specified for pod ${name}, choose one of: [${containers.join(' ')}]${init}`,
  );
}

/** The node a pod runs on. Throws BadRequest where there is none yet. */
export function hostOf(pod: Pod): string {
  if (pod.spec?.nodeName) return pod.spec.nodeName;
  throw errors.badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
}

/** `<verb>/<namespace>/<pod>[/<container>]` on a node agent's server. */
export function agentPath(verb: string, pod: Pod, container: string | undefined, query: URLSearchParams): string {
  const parts = [
    verb,
    pod.metadata.namespace ?? '',
    pod.metadata.name ?? '',
    ...(container === undefined ? [] : [container]),
  ];
  const text = query.toString();
  return `/${parts.map(encodeURIComponent).join('/')}${text === '' ? '' : `?${text}`}`;
}

/** A flag of a query as Go parses it. */
export function flag(query: URLSearchParams, name: string): boolean {
  return ['1', 't', 'T', 'true', 'TRUE', 'True'].includes(query.get(name) ?? '');
}
