import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { SubjectAccessReview } from '#api/authorization/v1/subject-access-review.ts';
import { TokenReview } from '#api/authentication/v1/token-review.ts';
import type { Clock } from '#base/clock.ts';
import type { Client } from '#client/client.ts';
import type { ServerSecurity } from '../server.ts';

export interface Identity {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

interface Access extends ServerSecurity {
  readonly client: Client;
  readonly nodeName: string;
  readonly clock: Clock;
}

/** Who asks: by a certificate of the cluster's CA, or by a token that the API server knows. */
export async function identify(
  request: IncomingMessage,
  socket: TLSSocket,
  access: Access,
): Promise<Identity | undefined> {
  const certificate = socket.getPeerCertificate();
  const hasCertificate = Object.keys(certificate).length > 0 && socket.authorized;
  if (access.authenticate)
    return access.authenticate({ headers: request.headers, ...(hasCertificate && { clientCertificate: certificate }) });
  if (hasCertificate) {
    const { CN, O } = certificate.subject;
    const name = Array.isArray(CN) ? CN[0] : CN;
    if (name) return { name, groups: [...(O === undefined ? [] : [O].flat()), 'system:authenticated'] };
  }
  const [, token] = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '') ?? [];
  return token === undefined ? undefined : reviewToken(token, access.client);
}

async function reviewToken(token: string, client: Client): Promise<Identity | undefined> {
  const { status } = await client.create(TokenReview, { metadata: {}, spec: { token } });
  const { username, uid, groups = [], extra } = status?.user ?? {};
  if (!status?.authenticated || !username) return undefined;
  return { name: username, groups, ...(uid !== undefined && { uid }), ...(extra && { extra }) };
}

const verbs: Readonly<Record<string, string>> = {
  GET: 'get',
  HEAD: 'get',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

/** Why not; `undefined` when it is allowed. The finer subresources are tried first, `nodes/proxy` allows all. */
export async function allow(user: Identity, method: string, path: string, access: Access): Promise<string | undefined> {
  if (user.groups.includes('system:masters')) return undefined;
  // The API server's own certificate, which it uses for exec, logs and the like.
  if (user.name === 'kube-apiserver-kubelet-client') return undefined;
  const verb = verbs[method] ?? method.toLowerCase();
  const subresources = subresourcesOf(path);
  for (const subresource of subresources) if (await ask(user, verb, subresource, access)) return undefined;
  const [subresource] = subresources;
  return `Forbidden (user=${user.name}, verb=${verb}, resource=nodes, subresource(s)=[${subresources.join(' ') || subresource}])\n`;
}

function subresourcesOf(path: string): readonly string[] {
  const [, first = ''] = path.split('/');
  switch (first) {
    case 'stats':
      return ['stats'];
    case 'metrics':
      return ['metrics'];
    case 'logs':
      return ['log'];
    case 'healthz':
      return ['healthz', 'proxy'];
    case 'configz':
      return ['configz', 'proxy'];
    case 'pods':
    case 'runningpods':
      return ['pods', 'proxy'];
    default:
      return ['proxy'];
  }
}

async function ask(user: Identity, verb: string, subresource: string, access: Access): Promise<boolean> {
  if (access.authorize) return access.authorize(user, verb, subresource);
  const resourceAttributes = { verb, version: 'v1', resource: 'nodes', subresource, name: access.nodeName };
  const { name, groups, uid, extra } = user;
  const spec = { user: name, groups, resourceAttributes, ...(uid !== undefined && { uid }), ...(extra && { extra }) };
  const { status } = await access.client.create(SubjectAccessReview, { metadata: {}, spec });
  return status?.allowed ?? false;
}
