import type { IncomingMessage } from 'node:http';
import { errors } from '#api/machinery/errors.ts';
import { Report } from '#api/machinery/validation.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import type { ApiRequest, ApiResponse } from '#client/transport.ts';
import type { SubresourceHandler } from '../subresource.ts';
import { dialError, send, type Backend } from './backend.ts';
import type { NodeAgents } from './node-agent.ts';
import { agentPath, containerOf, flag } from './pod-target.ts';

/** An error's text is read up to here. */
const errorBytesMax = 64 * 1024;

/** The log of a container, as its node agent streams it. */
export function podLog(agents: NodeAgents): SubresourceHandler {
  return async (request, context) => {
    const pod = context.object<Pod>();
    checkOptions(request.query, pod.metadata.name ?? '');
    const container = containerOf(pod, request.query.get('container') ?? '');
    const node = pod.spec?.nodeName ?? '';
    // Nothing has run yet, so there is nothing to read.
    if (node === '') return { code: 204, headers: {}, kind: 'bytes', bytes: [] };
    const backend = await agents.of(node);
    return read(backend, agentPath('containerLogs', pod, container, agentQuery(request.query)), request, pod);
  };
}

async function read(backend: Backend, path: string, request: ApiRequest, pod: Pod): Promise<ApiResponse> {
  let response: IncomingMessage;
  try {
    response = await send(backend, { method: 'GET', path, headers: {}, signal: request.signal });
  } catch (cause) {
    const url = `https://${backend.host}:${backend.port}${path}`;
    throw Object.assign(
      errors.other('', `Get ${JSON.stringify(url)}: ${dialError(backend, cause as Error)}`, undefined, 500),
      { cause },
    );
  }
  if (response.statusCode === 200) return answer(response);
  throw await failure(response, pod);
}

function answer(stream: AsyncIterable<Uint8Array>): ApiResponse {
  return { code: 200, headers: { 'content-type': 'text/plain' }, kind: 'stream', stream };
}

async function failure(response: IncomingMessage, pod: Pod): Promise<Error> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > errorBytesMax) break;
    chunks.push(chunk);
  }
  response.destroy();
  const text = Buffer.concat(chunks).toString().trim();
  const { statusCode = 500 } = response;
  if (statusCode === 400) return errors.badRequest(text);
  if (statusCode === 500) return errors.internal(text);
  if (statusCode >= 300 && statusCode < 400)
    return errors.internal('the backend attempted to redirect this request, which is not permitted');
  const details = {
    name: pod.metadata.name ?? '',
    kind: 'pods/log',
    causes: [{ reason: 'UnexpectedServerResponse', message: text }],
  };
  if (statusCode === 404)
    return errors.other(
      'NotFound',
      `the server could not find the requested resource ( pods/log ${pod.metadata.name})`,
      details,
    );
  if (statusCode === 401 || statusCode === 403)
    return errors.other(
      statusCode === 401 ? 'Unauthorized' : 'Forbidden',
      statusCode === 401
        ? `the server has asked for the client to provide credentials ( pods/log ${pod.metadata.name})`
        : text,
      details,
    );
  return errors.other(
    'Unknown',
    `an error on the server (${JSON.stringify(text)}) has prevented the request from succeeding ( pods/log ${pod.metadata.name})`,
    details,
    statusCode,
  );
}

const passedOn = ['tailLines', 'limitBytes', 'sinceSeconds', 'sinceTime', 'stream'];

function agentQuery(query: URLSearchParams): URLSearchParams {
  const result = new URLSearchParams();
  for (const name of ['follow', 'previous', 'timestamps']) if (flag(query, name)) result.set(name, 'true');
  for (const name of passedOn) {
    const value = query.get(name);
    if (value !== null && value !== '') result.set(name, value);
  }
  return result;
}

/** Upstream's path for what concerns no single field. */
const wholeObject = '[]';

function checkOptions(query: URLSearchParams, name: string): void {
  const report = new Report();
  const number = (field: string, least: number, why: string) => {
    const text = query.get(field);
    if (text === null || text === '') return;
    if (!/^-?\d+$/.test(text))
      throw errors.badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
    if (Number(text) < least) report.at(field).invalid(Number(text), why);
  };
  number('tailLines', 0, 'must be greater than or equal to 0');
  number('limitBytes', 1, 'must be greater than 0');
  if (query.has('sinceSeconds') && query.has('sinceTime'))
    report.at(wholeObject).forbidden('at most one of `sinceTime` or `sinceSeconds` may be specified');
  else number('sinceSeconds', 1, 'must be greater than 0');
  // PodLogsQuerySplitStreams is off.
  if ((query.get('stream') ?? '') !== '') report.at('stream').forbidden('may not be specified');
  if (report.errors.length > 0) throw errors.invalid('', 'PodLogOptions', name, report.errors);
}
