import { errors } from '#api/machinery/errors.ts';
import type { ApiObject } from '#api/machinery/kind.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { denied } from '#auth/authorization/denial.ts';
import type { ApiRequest } from '#client/transport.ts';
import type { SubresourceContext, SubresourceHandler } from '../subresource.ts';
import { forwardedHeaders, isUpgrade, relayUpgrade } from './backend.ts';
import type { NodeAgents } from './node-agent.ts';
import { agentPath, containerOf, flag, hostOf } from './pod-target.ts';

/** Runs a command in a container. */
export function podExec(agents: NodeAgents): SubresourceHandler {
  return stream(agents, 'exec', 'PodExecOptions');
}

/** Joins the main process of a container. */
export function podAttach(agents: NodeAgents): SubresourceHandler {
  return stream(agents, 'attach', 'PodAttachOptions');
}

/** Connects to ports of a pod. */
export function podPortForward(agents: NodeAgents): SubresourceHandler {
  return async (request, context) => {
    const pod = context.object<Pod>();
    await checkCreate(request, context);
    const ports = request.query.getAll('ports').flatMap(each => each.split(','));
    for (const port of ports)
      if (!/^\d+$/.test(port))
        throw errors.badRequest(`strconv.ParseInt: parsing ${JSON.stringify(port)}: invalid syntax`);
    await context.admit(
      'CONNECT',
      options('PodPortForwardOptions', ports.length > 0 ? { ports: ports.map(Number) } : {}),
    );
    const node = hostOf(pod);
    const query = new URLSearchParams(ports.map(port => ['port', port]));
    return connect(agents, node, agentPath('portForward', pod, undefined, query), request);
  };
}

function stream(agents: NodeAgents, verb: 'exec' | 'attach', kind: string): SubresourceHandler {
  return async (request, context) => {
    const pod = context.object<Pod>();
    const { query } = request;
    await checkCreate(request, context);
    const command = query.getAll('command');
    const asked = {
      stdin: flag(query, 'stdin'),
      // Upstream's defaults, where the query says nothing.
      stdout: query.has('stdout') ? flag(query, 'stdout') : true,
      stderr: query.has('stderr') ? flag(query, 'stderr') : true,
      tty: flag(query, 'tty'),
    };
    const container = containerOf(pod, query.get('container') ?? '');
    await context.admit('CONNECT', options(kind, { ...asked, container, ...(verb === 'exec' && { command }) }));
    const node = hostOf(pod);
    const agentQuery = new URLSearchParams();
    if (asked.stdin) agentQuery.set('input', '1');
    if (asked.stdout) agentQuery.set('output', '1');
    if (asked.stderr) agentQuery.set('error', '1');
    if (asked.tty) agentQuery.set('tty', '1');
    if (verb === 'exec') for (const word of command) agentQuery.append('command', word);
    return connect(agents, node, agentPath(verb, pod, container, agentQuery), request);
  };
}

async function connect(agents: NodeAgents, node: string, path: string, request: ApiRequest) {
  if (!isUpgrade(request.headers)) throw errors.badRequest('Upgrade request required');
  const { method, headers, signal } = request;
  return relayUpgrade(await agents.of(node), {
    method,
    path,
    headers: forwardedHeaders(headers, { upgrade: true }),
    signal,
  });
}

/** A WebSocket comes as a GET, but it runs things: that needs `create` (KEP-4006). */
async function checkCreate(request: ApiRequest, { user, info, authorize }: SubresourceContext): Promise<void> {
  if (request.method !== 'GET') return;
  const asked = {
    user,
    verb: 'create',
    resourceRequest: true,
    path: info.path,
    group: info.group,
    version: info.version,
    resource: info.resource,
    subresource: info.subresource,
    namespace: info.namespace,
    name: info.name,
  };
  const said = await authorize(asked);
  if (said.decision !== 'allow') throw denied(asked, said.reason);
}

function options(kind: string, fields: object): ApiObject {
  return { apiVersion: 'v1', kind, metadata: {}, ...fields };
}
