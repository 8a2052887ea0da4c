import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { ManualClock } from '#base/clock.ts';
import { seededRandom } from '#base/random.ts';
import { ApiError } from '#api/machinery/errors.ts';
import type { ApiObject, Draft, Kind } from '#api/machinery/kind.ts';
import { ServiceAccount } from '#api/core/v1/service-account.ts';
import {
  serviceAccountTokenAuthenticator,
  tokenIssuer,
  type BoundObjects,
} from '#auth/authentication/service-account-token.ts';
import { signingKey } from '#auth/authentication/signing-keys.ts';
import type { Attributes, Authorizer } from '#auth/authorization/authorizer.ts';
import type { ApiRequest } from '#client/transport.ts';
import { parseRequestInfo } from '../request-info.ts';
import type { SubresourceContext } from '../subresource.ts';
import { reviewHandlers } from './reviews.ts';

const issuer = 'https://kubernetes.default.svc.cluster.local';

function server() {
  const clock = new ManualClock();
  const { privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'prime256v1',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  const key = signingKey(privateKey);
  const objects: BoundObjects = {
    serviceAccount: (namespace, name) => ({ metadata: { namespace, name, uid: `${name}-uid` } }),
    pod: (namespace, name) =>
      name === 'gone'
        ? undefined
        : ({
            metadata: { namespace, name, uid: 'pod-uid' },
            spec: { serviceAccountName: 'robot', nodeName: 'n1' },
          } as ApiObject),
    secret: () => undefined,
    node: name => ({ metadata: { name, uid: 'node-uid' } }),
  };
  const asked: Attributes[] = [];
  const authorizer: Authorizer = {
    name: 'test',
    authorize(attributes) {
      asked.push(attributes);
      if (attributes.verb === 'delete') return { decision: 'deny', reason: 'never' };
      return attributes.user.name === 'ann'
        ? { decision: 'allow', reason: 'RBAC: allowed by x' }
        : { decision: 'noOpinion', reason: '' };
    },
    rulesFor: () => ({ resourceRules: [{ verbs: ['get'] }], nonResourceRules: [], incomplete: false }),
  };
  const tokens = serviceAccountTokenAuthenticator({ issuers: [issuer], keys: [key], objects, clock });
  const handlers = reviewHandlers({
    authorizer,
    tokens,
    issue: tokenIssuer({ issuer, key, clock, random: seededRandom(3) }),
    objects,
    audiences: [issuer],
    clock,
  });
  const post = async (resource: string, path: string, body: object): Promise<Record<string, unknown>> => {
    const context: SubresourceContext = {
      user: { name: 'ann', uid: '7', groups: ['dev'], extra: { a: ['b'] } },
      info: parseRequestInfo('POST', path, new URLSearchParams()),
      warn: () => undefined,
      annotate: () => undefined,
      authorize: async attributes => authorizer.authorize(attributes),
      respond: (code, object) => ({ code, headers: {}, kind: 'object', object, bytes: () => [] }),
      kind: ServiceAccount as Kind,
      object: <Type extends ApiObject>() =>
        ({ metadata: { name: 'robot', namespace: 'ns', uid: 'robot-uid' } }) as Type,
      body: async <Type extends ApiObject>() =>
        ({ metadata: {}, spec: {}, ...structuredClone(body) }) as unknown as Draft<Type>,
      admit: async () => undefined,
    };
    const response = await handlers[resource]?.({} as ApiRequest, context);
    assert.equal(response?.code, 201);
    return (response as unknown as { object: Record<string, unknown> }).object;
  };
  return { post, asked, clock };
}

async function failure(run: Promise<unknown>): Promise<ApiError> {
  try {
    await run;
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    return error;
  }
  return assert.fail('was not refused');
}

const sar = 'subjectaccessreviews.authorization.k8s.io';
const sarPath = '/apis/authorization.k8s.io/v1/subjectaccessreviews';

test('an access review answers what the authorizer says', async () => {
  const { post, asked } = server();
  const ask = (spec: object) => post(sar, sarPath, { spec });
  const pods = {
    verb: 'list',
    resource: 'pods',
    namespace: 'ns',
    labelSelector: { requirements: [{ key: 'a', operator: 'In', values: ['b', 'c'] }] },
  };
  assert.deepEqual(await ask({ user: 'ann', resourceAttributes: pods }), {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    metadata: {},
    spec: { user: 'ann', resourceAttributes: pods },
    status: { allowed: true, reason: 'RBAC: allowed by x' },
  });
  assert.equal(asked[0]?.labelSelector, 'a in (b,c)');
  assert.deepEqual((await ask({ user: 'bob', nonResourceAttributes: { verb: 'get', path: '/x' } }))['status'], {
    allowed: false,
  });
  assert.equal(asked[1]?.resourceRequest, false);
  assert.deepEqual((await ask({ user: 'ann', resourceAttributes: { verb: 'delete', resource: 'pods' } }))['status'], {
    allowed: false,
    denied: true,
    reason: 'never',
  });
});

test('an access review that asks nothing, or too much, is refused', async () => {
  const { post } = server();
  const nothing = await failure(post(sar, sarPath, { spec: {} }));
  assert.equal(nothing.code, 422);
  assert.equal(
    nothing.message,
    '.authorization.k8s.io "" is invalid: [spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified, spec.user: Invalid value: "": at least one of user or group must be specified]',
  );
  const local = failure(
    post(
      'localsubjectaccessreviews.authorization.k8s.io',
      '/apis/authorization.k8s.io/v1/namespaces/ns/localsubjectaccessreviews',
      {
        spec: { user: 'ann', resourceAttributes: { verb: 'get', resource: 'pods', namespace: 'other' } },
      },
    ),
  );
  assert.match(
    (await local).message,
    /spec.resourceAttributes.namespace: Invalid value: "other": must match metadata.namespace/,
  );
});

test('one may ask who one is and what one may do', async () => {
  const { post } = server();
  const who = await post(
    'selfsubjectreviews.authentication.k8s.io',
    '/apis/authentication.k8s.io/v1/selfsubjectreviews',
    {},
  );
  assert.deepEqual(who['status'], { userInfo: { username: 'ann', uid: '7', groups: ['dev'], extra: { a: ['b'] } } });
  const path = '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews';
  const rules = await post('selfsubjectrulesreviews.authorization.k8s.io', path, { spec: { namespace: 'ns' } });
  assert.deepEqual(rules['status'], { resourceRules: [{ verbs: ['get'] }], nonResourceRules: [], incomplete: false });
  const noNamespace = await failure(post('selfsubjectrulesreviews.authorization.k8s.io', path, {}));
  assert.equal(noNamespace.message, 'no namespace on request');
  const self = await post(
    'selfsubjectaccessreviews.authorization.k8s.io',
    '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
    {
      spec: { resourceAttributes: { verb: 'get', resource: 'pods' } },
    },
  );
  assert.equal((self['status'] as { allowed: boolean }).allowed, true);
});

test('a token is requested for a pod, reviewed, and extended for node agents', async () => {
  const { post } = server();
  const path = '/api/v1/namespaces/ns/serviceaccounts/robot/token';
  const request = (spec: object) => post('serviceaccounts/token', path, { spec });
  const review = async (spec: object) =>
    (await post('tokenreviews.authentication.k8s.io', '/apis/authentication.k8s.io/v1/tokenreviews', { spec }))[
      'status'
    ] as Record<string, unknown>;
  const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', name: 'web', uid: 'pod-uid' };
  const made = (await request({ boundObjectRef, expirationSeconds: 3607 })) as unknown as {
    spec: { expirationSeconds: number; audiences: string[] };
    status: { token: string; expirationTimestamp: string };
  };
  assert.equal(made.spec.expirationSeconds, 3607);
  assert.equal(made.status.expirationTimestamp, '2026-01-01T01:00:07Z');
  const claims = JSON.parse(Buffer.from(made.status.token.split('.')[1] ?? '', 'base64url').toString()) as {
    exp: number;
    iat: number;
    'kubernetes.io': unknown;
  };
  assert.equal(claims.exp - claims.iat, 365 * 24 * 3600);
  assert.deepEqual(claims['kubernetes.io'], {
    namespace: 'ns',
    node: { name: 'n1', uid: 'node-uid' },
    pod: { name: 'web', uid: 'pod-uid' },
    serviceaccount: { name: 'robot', uid: 'robot-uid' },
    warnafter: claims.iat + 3607,
  });
  const said = await review({ token: made.status.token });
  assert.equal(said['authenticated'], true);
  assert.deepEqual(said['audiences'], [issuer]);
  assert.equal((said['user'] as { username: string }).username, 'system:serviceaccount:ns:robot');
  const other = (await request({ audiences: ['vault'], expirationSeconds: 600 })) as unknown as {
    status: { token: string };
  };
  assert.match(String((await review({ token: other.status.token }))['error']), /invalid for the target audiences/);
  assert.deepEqual((await review({ token: other.status.token, audiences: ['vault', 'x'] }))['audiences'], ['vault']);
  assert.deepEqual(await review({ token: 'rubbish' }), { user: {}, error: 'invalid bearer token' });

  assert.match(
    (await failure(request({ expirationSeconds: 599 }))).message,
    /may not specify a duration less than 10 minutes/,
  );
  assert.equal(
    (await failure(request({ boundObjectRef: { ...boundObjectRef, name: 'gone' } }))).message,
    'pods "gone" not found',
  );
  assert.equal((await failure(request({ boundObjectRef: { ...boundObjectRef, uid: 'x' } }))).code, 409);
  assert.match(
    (await failure(request({ boundObjectRef: { apiVersion: 'v1', kind: 'Service', name: 'x' } }))).message,
    /cannot bind token to object of type/,
  );
});
