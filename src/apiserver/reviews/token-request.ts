import type { Clock } from '#base/clock.ts';
import { errors } from '#api/machinery/errors.ts';
import type { ApiObject } from '#api/machinery/kind.ts';
import { Report } from '#api/machinery/validation.ts';
import { TokenRequest } from '#api/authentication/v1/token-request.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import type { ServiceAccount } from '#api/core/v1/service-account.ts';
import type {
  BoundObjects,
  IssuedToken,
  TokenBinding,
  TokenRequestClaims,
} from '#auth/authentication/service-account-token.ts';
import type { SubresourceHandler } from '../subresource.ts';

const secondsMin = 10 * 60;
const secondsMax = 2 ** 32;
const secondsDefault = 60 * 60;
/** What a node agent asks for a projected token; such a token lives on for a year and warns after this time. */
const warnOnlySeconds = 60 * 60 + 7;
const extendedSeconds = 365 * 24 * 60 * 60;

export interface TokenRequestOptions {
  readonly issue: (claims: TokenRequestClaims) => Promise<IssuedToken>;
  readonly objects: BoundObjects;
  readonly audiences: readonly string[];
  readonly clock: Clock;
  /** Longer ones are shortened. */
  readonly validForSecondsMax?: number;
  /** Whether tokens that node agents ask for live on for a year, and warn instead of failing. */
  readonly extends?: boolean;
}

type BoundReference = NonNullable<TokenRequest['spec']['boundObjectRef']>;

/** Makes a token for a service account: `serviceaccounts/<name>/token`. */
export function tokenRequest(options: TokenRequestOptions): SubresourceHandler {
  const { issue, objects, audiences, clock, validForSecondsMax = secondsMax } = options;
  const mayExtend = options.extends ?? true;
  return async (_request, context) => {
    const account = context.object<ServiceAccount>();
    const request = await context.body(TokenRequest);
    const { namespace = '', name = '', uid = '' } = account.metadata;
    checkIdentity(request.metadata, account.metadata);
    request.metadata = { ...request.metadata, name, namespace, uid };
    // An absent number may have been decoded as zero.
    request.spec.expirationSeconds ||= secondsDefault;
    await context.admit('CREATE', request as unknown as ApiObject);
    request.spec.audiences = request.spec.audiences?.length ? request.spec.audiences : [...audiences];

    const wanted = Number(request.spec.expirationSeconds);
    checkSpec(wanted);
    const asked = Math.min(wanted, validForSecondsMax);
    if (asked < wanted) context.warn(`requested expiration of ${wanted} seconds shortened to ${asked} seconds`);
    const reference = request.spec.boundObjectRef;
    const bound = reference ? await bind(reference, namespace, name, objects) : {};
    const extend =
      mayExtend &&
      bound.pod !== undefined &&
      asked === warnOnlySeconds &&
      request.spec.audiences.every(each => audiences.includes(each));
    const validForSeconds = extend ? extendedSeconds : asked;
    const issued = await issue({
      binding: { namespace, ...bound, serviceaccount: { name, uid } },
      audiences: request.spec.audiences,
      validForSeconds,
      ...(extend && { warnAfterSeconds: asked }),
    });
    context.annotate('authentication.kubernetes.io/issued-credential-id', `JTI=${issued.id}`);
    const expiresSeconds = issued.issuedAtSeconds + (extend ? asked : validForSeconds);
    return context.respond(201, {
      ...request,
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      metadata: { ...request.metadata, creationTimestamp: timestamp(clock.now()) },
      spec: { ...request.spec, boundObjectRef: reference ?? null, expirationSeconds: extend ? asked : validForSeconds },
      status: { token: issued.token, expirationTimestamp: timestamp(expiresSeconds * 1000) },
    });
  };
}

function checkIdentity(asked: ApiObject['metadata'], account: ApiObject['metadata']): void {
  if (asked.name && asked.name !== account.name)
    throw errors.invalid('authentication.k8s.io', 'TokenRequest', account.name ?? '', [
      {
        type: 'FieldValueInvalid',
        field: 'metadata.name',
        message: `Invalid value: ${JSON.stringify(asked.name)}: must match the service account name if specified`,
      },
    ]);
  if (asked.namespace && asked.namespace !== account.namespace)
    throw errors.badRequest('the namespace of the provided object does not match the namespace sent on the request');
  if (asked.uid && asked.uid !== account.uid)
    throw errors.conflict(
      { group: '', plural: 'serviceaccounts' },
      account.name ?? '',
      `the UID in the token request (${asked.uid}) does not match the UID of the service account (${account.uid})`,
    );
}

function checkSpec(seconds: number): void {
  const report = new Report().at('spec', 'expirationSeconds');
  if (seconds < secondsMin) report.invalid(seconds, 'may not specify a duration less than 10 minutes');
  if (seconds > secondsMax) report.invalid(seconds, 'may not specify a duration larger than 2^32 seconds');
  if (report.errors.length > 0) throw errors.invalid('authentication.k8s.io', 'TokenRequest', '', report.errors);
}

async function bind(
  reference: BoundReference,
  namespace: string,
  account: string,
  objects: BoundObjects,
): Promise<Pick<TokenBinding, 'pod' | 'secret' | 'node'>> {
  const { apiVersion = '', kind = '', name = '' } = reference;
  const unknown = `cannot bind token to object of type ${apiVersion.includes('/') ? apiVersion : `/${apiVersion}`}, Kind=${kind}`;
  if (apiVersion.includes('/')) throw errors.badRequest(unknown);
  switch (kind) {
    case 'Pod': {
      const pod = found('pods', reference, await objects.pod(namespace, name)) as Pod & ApiObject;
      if (pod.spec?.serviceAccountName !== account)
        throw errors.badRequest(
          `cannot bind token for serviceaccount ${JSON.stringify(account)} to pod running with different serviceaccount name.`,
        );
      const nodeName = pod.spec?.nodeName ?? '';
      const node = nodeName === '' ? undefined : await objects.node(nodeName);
      return {
        ...(nodeName !== '' && { node: { name: nodeName, ...(node?.metadata.uid && { uid: node.metadata.uid }) } }),
        pod: { name, uid: pod.metadata.uid ?? '' },
      };
    }
    case 'Node':
      return { node: { name, uid: found('nodes', reference, await objects.node(name)).metadata.uid ?? '' } };
    case 'Secret':
      return {
        secret: { name, uid: found('secrets', reference, await objects.secret(namespace, name)).metadata.uid ?? '' },
      };
    default:
      throw errors.badRequest(unknown);
  }
}

function found(plural: string, { name = '', uid = '' }: BoundReference, object: ApiObject | undefined): ApiObject {
  const resource = { group: '', plural };
  if (!object) throw errors.notFound(resource, name);
  if (uid !== '' && uid !== object.metadata.uid)
    throw errors.conflict(
      resource,
      name,
      `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  return object;
}

function timestamp(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}
