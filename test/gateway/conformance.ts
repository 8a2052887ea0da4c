import assert from 'node:assert/strict';
import { eventually } from '../scenarios/eventually.ts';
import { ask, call, certificateFor } from './requests.ts';
import {
  exact,
  from,
  gateway,
  gatewayApi,
  http,
  infra,
  prefix,
  route,
  rule,
  secret,
  to,
  type Case,
  type GatewayCluster,
} from './cluster.ts';

/** One of upstream's conformance tests, by its name: what it applies, and what must come of it. */
export interface GatewayTest {
  readonly name: string;
  objects(): readonly object[] | Promise<readonly object[]>;
  check(own: GatewayCluster): Promise<void>;
}

const appNamespace = 'gateway-conformance-app-backend';
const webNamespace = 'gateway-conformance-web-backend';

/** What every test finds: upstream's base manifests. */
export async function baseObjects(own: GatewayCluster): Promise<readonly object[]> {
  const pair = await own.certificate('example.org', 'second-example.org', '*.wildcard.org', 'abc.example.com');
  const certificateRefs = [{ name: 'tls-validity-checks-certificate' }];
  const https = (name: string, hostname?: string) => ({
    name,
    port: 443,
    protocol: 'HTTPS',
    tls: { certificateRefs },
    ...(hostname && { hostname }),
  });
  return [
    secret('tls-validity-checks-certificate', pair),
    gateway('same-namespace', [http('http', from('Same'))]),
    gateway('all-namespaces', [http('http', from('All'))]),
    gateway('backend-namespaces', [http('http', from({ 'gateway-conformance': 'backend' }))]),
    gateway('same-namespace-with-https-listener', [
      https('https'),
      https('https-with-hostname', 'second-example.org'),
      https('https-with-wildcard-hostname', '*.wildcard.org'),
      https('https-with-hostname-matching-wildcard', 'fourth-example.wildcard.org'),
    ]),
  ];
}

/** A test of one route at a base Gateway: requests, and who answers. */
function routed(name: string, objects: readonly object[], cases: readonly Case[], at = 'same-namespace'): GatewayTest {
  return {
    name,
    objects: () => objects,
    async check(own) {
      for (const each of objects) {
        const { kind, metadata, spec } = each as Named;
        if (kind.endsWith('Route') && spec.parentRefs?.length === 1)
          await own.conditions(
            kind.toLowerCase(),
            metadata.name,
            ['Accepted=True/Accepted', 'ResolvedRefs=True'],
            metadata.namespace,
          );
      }
      await own.expect(await own.addressOf(at), cases);
    },
  };
}

interface Named {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: { readonly parentRefs?: readonly object[] };
}

/** A test of conditions alone. */
function judged(
  name: string,
  objects: readonly object[],
  verdicts: readonly (readonly [kind: string, name: string, conditions: readonly string[], namespace?: string])[],
  then?: (own: GatewayCluster) => Promise<void>,
): GatewayTest {
  return {
    name,
    objects: () => objects,
    async check(own) {
      for (const [kind, of, conditions, namespace] of verdicts) await own.conditions(kind, of, conditions, namespace);
      await then?.(own);
    },
  };
}

function grant(
  name: string,
  fromNamespace: string,
  kind: string,
  toKind: string,
  namespace: string,
  toName?: string,
): object {
  return {
    apiVersion: gatewayApi,
    kind: 'ReferenceGrant',
    metadata: { name, namespace },
    spec: {
      from: [{ group: 'gateway.networking.k8s.io', kind, namespace: fromNamespace }],
      to: [{ group: '', kind: toKind, ...(toName && { name: toName }) }],
    },
  };
}

const headers = (...pairs: readonly (readonly [string, string])[]) => ({
  headers: pairs.map(([name, value]) => ({ name, value })),
});
const query = (...pairs: readonly (readonly [string, string])[]) => ({
  queryParams: pairs.map(([name, value]) => ({ name, value })),
});
const redirect = (requestRedirect: object) => ({ filters: [{ type: 'RequestRedirect', requestRedirect }] });
const rewrite = (urlRewrite: object) => ({ filters: [{ type: 'URLRewrite', urlRewrite }] });
const modifies = (requestHeaderModifier: object) => ({
  filters: [{ type: 'RequestHeaderModifier', requestHeaderModifier }],
});
const weighted = (...weights: readonly (readonly [string, number, object?])[]) => ({
  backendRefs: weights.map(([name, weight, more]) => to(name, { weight, ...more })),
});
const with_ = (path: string, given: Readonly<Record<string, string>>, method?: string) => ({
  path,
  headers: given,
  ...(method && { method }),
});

async function location(
  own: GatewayCluster,
  at: string,
  path: string,
  status: number,
  wanted: string,
  port = 80,
): Promise<void> {
  const address = await own.addressOf(at);
  const request = { path, port, ...(port === 443 && { serverName: 'example.org' }) };
  await eventually(`${path} redirects`, async () => (await ask(address, request)).status === status, 15_000);
  const answer = await ask(address, request);
  assert.equal(String(answer.headers['location']).replace(address, 'ADDRESS'), wanted, path);
}

function redirects(
  name: string,
  objects: readonly object[],
  wanted: readonly (readonly [path: string, status: number, location: string])[],
): GatewayTest {
  return {
    name,
    objects: () => objects,
    async check(own) {
      for (const [path, status, to_] of wanted) await location(own, 'same-namespace', path, status, to_);
    },
  };
}

async function listenerConditions(
  own: GatewayCluster,
  name: string,
  wanted: readonly (readonly string[])[],
): Promise<void> {
  let last: unknown;
  await eventually(
    `listeners of ${name}`,
    async () => {
      const { status } = await own.cluster.get<{
        readonly status: {
          readonly listeners: readonly {
            readonly name: string;
            readonly attachedRoutes: number;
            readonly supportedKinds: readonly { readonly kind: string }[];
            readonly conditions: readonly { readonly type: string; readonly status: string; readonly reason: string }[];
          }[];
        };
      }>('gateway', name, `--namespace=${infra}`);
      const found = status.listeners.map(each => [
        `attachedRoutes=${each.attachedRoutes}`,
        `kinds=${each.supportedKinds.map(({ kind }) => kind).join('+')}`,
        ...each.conditions.map(({ type, status: is, reason }) => `${type}=${is}/${reason}`),
      ]);
      last = found;
      return (
        found.length === wanted.length &&
        wanted.every((words, index) =>
          words.every(word => found[index]?.some(each => each === word || each.startsWith(`${word}/`))),
        )
      );
    },
    15_000,
  ).catch(() => assert.deepEqual(last, wanted));
}

const service = 'gateway_api_conformance.echo_basic.grpcecho.GrpcEcho';

/** gRPC calls, and the backend or HTTP status that answers. */
async function calls(
  own: GatewayCluster,
  at: string,
  wanted: readonly (readonly [
    path: string,
    answer: string | number,
    host?: string,
    headers?: Readonly<Record<string, string>>,
  ])[],
): Promise<void> {
  const address = await own.addressOf(at);
  for (const [path, answer, host, given] of wanted) {
    let last: unknown;
    await eventually(
      `${path} is answered by ${answer}`,
      async () => {
        const got = await call(address, { path, ...(host && { host }), ...(given && { headers: given }) });
        last = got.echo && got.grpcStatus === '0' ? got.echo.backend : got.status;
        return last === answer;
      },
      15_000,
    ).catch(() => assert.equal(last, answer, path));
  }
}

function grpc(
  name: string,
  rules: readonly object[],
  wanted: Parameters<typeof calls>[2],
  more: readonly object[] = [],
): GatewayTest {
  const objects = rules.length > 0 ? [route('grpc', 'same-namespace', rules, { kind: 'GRPCRoute' }), ...more] : more;
  return { name, objects: () => objects, check: own => calls(own, 'same-namespace', wanted) };
}

const grpcMethod = (method: string | undefined, of: string | undefined = service, more: object = {}) => ({
  method: { ...(of && { service: of }), ...(method && { method }) },
  ...more,
});

const passthrough = (name: string, hostname?: string, port = 443) => ({
  name,
  port,
  protocol: 'TLS',
  tls: { mode: 'Passthrough' },
  ...(hostname && { hostname }),
});

export const gatewayTests: readonly GatewayTest[] = [
  routed(
    'HTTPRouteSimpleSameNamespace',
    [route('simple', 'same-namespace', [rule('v1')])],
    [['/', 'infra-backend-v1']],
  ),
  routed(
    'HTTPRouteMatching',
    [
      route('matching', 'same-namespace', [
        rule('v1', [prefix('/'), headers(['version', 'one'])]),
        rule('v2', [prefix('/v2'), headers(['version', 'two'])]),
      ]),
    ],
    [
      ['/', 'infra-backend-v1'],
      ['/example', 'infra-backend-v1'],
      [with_('/', { Version: 'one' }), 'infra-backend-v1'],
      ['/v2', 'infra-backend-v2'],
      ['/v2/example', 'infra-backend-v2'],
      [with_('/', { Version: 'two' }), 'infra-backend-v2'],
      ['/v2/', 'infra-backend-v2'],
      ['/v2example', 'infra-backend-v1'],
      ['/foo/v2/example', 'infra-backend-v1'],
    ],
  ),
  routed(
    'HTTPRouteMatchingAcrossRoutes',
    [
      route('matching-part1', 'same-namespace', [rule('v1', [prefix('/'), headers(['version', 'one'])])], {
        hostnames: ['example.com', 'example.net'],
      }),
      route('matching-part2', 'same-namespace', [rule('v2', [prefix('/v2'), headers(['version', 'two'])])], {
        hostnames: ['example.com'],
      }),
    ],
    [
      ['example.com/', 'infra-backend-v1'],
      ['example.com/example', 'infra-backend-v1'],
      ['example.net/example', 'infra-backend-v1'],
      [{ host: 'example.com', ...with_('/example', { Version: 'one' }) }, 'infra-backend-v1'],
      ['example.com/v2', 'infra-backend-v2'],
      ['example.net/v2', 'infra-backend-v1'],
      ['example.com/v2/example', 'infra-backend-v2'],
      [{ host: 'example.com', ...with_('/', { Version: 'two' }) }, 'infra-backend-v2'],
    ],
  ),
  routed(
    'HTTPRouteExactPathMatching',
    [route('exact', 'same-namespace', [rule('v1', [exact('/one')]), rule('v2', [exact('/two')])])],
    [
      ['/one', 'infra-backend-v1'],
      ['/two', 'infra-backend-v2'],
      ['/', 404],
      ['/one/example', 404],
      ['/two/', 404],
      ['/Two', 404],
    ],
  ),
  routed(
    'HTTPRoutePathMatchOrder',
    [
      route('order', 'same-namespace', [
        rule('v1', [exact('/match')]),
        rule('v2', [exact('/match/exact')]),
        rule('v3', [exact('/match/exact/one')]),
        rule('v3', [prefix('/match/')]),
        rule('v1', [prefix('/match/prefix/')]),
        rule('v2', [prefix('/match/prefix/one')]),
      ]),
    ],
    [
      ['/match/exact/one', 'infra-backend-v3'],
      ['/match/exact', 'infra-backend-v2'],
      ['/match', 'infra-backend-v1'],
      ['/match/prefix/one/any', 'infra-backend-v2'],
      ['/match/prefix/any', 'infra-backend-v1'],
      ['/match/any', 'infra-backend-v3'],
    ],
  ),
  routed(
    'HTTPRouteHeaderMatching',
    [
      route('header', 'same-namespace', [
        rule('v1', [headers(['version', 'one'])]),
        rule('v2', [headers(['version', 'two'])]),
        rule('v1', [headers(['version', 'two'], ['color', 'orange'])]),
        rule('v1', [headers(['color', 'blue']), headers(['color', 'green'])]),
        rule('v2', [headers(['color', 'red']), headers(['color', 'yellow'])]),
      ]),
    ],
    [
      [with_('/', { Version: 'one' }), 'infra-backend-v1'],
      [with_('/', { Version: 'two' }), 'infra-backend-v2'],
      [with_('/', { Version: 'two', Color: 'orange' }), 'infra-backend-v1'],
      [with_('/', { Version: 'two', Color: 'blue' }), 'infra-backend-v2'],
      [with_('/', { Color: 'orange' }), 404],
      [with_('/', { 'Some-Other-Header': 'one' }), 404],
      [with_('/', { Color: 'blue' }), 'infra-backend-v1'],
      [with_('/', { Color: 'green' }), 'infra-backend-v1'],
      [with_('/', { Color: 'red' }), 'infra-backend-v2'],
      [with_('/', { Color: 'yellow' }), 'infra-backend-v2'],
      [with_('/', { Color: 'purple' }), 404],
    ],
  ),
  routed(
    'HTTPRouteQueryParamMatching',
    [
      route('query', 'same-namespace', [
        rule('v1', [query(['animal', 'whale'])]),
        rule('v2', [query(['animal', 'dolphin'])]),
        rule('v3', [query(['animal', 'dolphin'], ['color', 'blue']), query(['ANIMAL', 'Whale'])]),
        rule('v1', [prefix('/path1', query(['animal', 'whale']))]),
        rule('v2', [{ ...headers(['version', 'one']), ...query(['animal', 'whale']) }]),
        rule('v3', [prefix('/path2', { ...headers(['version', 'two']), ...query(['animal', 'whale']) })]),
        rule('v1', [
          prefix('/path3', query(['animal', 'shark'])),
          prefix('/path4', { ...headers(['version', 'three']), ...query(['animal', 'kraken']) }),
        ]),
        rule('v1', [prefix('/path5')]),
        rule('v2', [query(['animal', 'hydra'])]),
        rule('v3', [headers(['version', 'four'])]),
      ]),
    ],
    [
      ['/?animal=whale', 'infra-backend-v1'],
      ['/?animal=dolphin', 'infra-backend-v2'],
      ['/?animal=dolphin&color=blue', 'infra-backend-v3'],
      ['/?ANIMAL=Whale', 'infra-backend-v3'],
      ['/?animal=whale&otherparam=irrelevant', 'infra-backend-v1'],
      ['/?animal=dolphin&color=yellow', 'infra-backend-v2'],
      ['/?color=blue', 404],
      ['/?animal=dog', 404],
      ['/?animal=whaledolphin', 404],
      ['/', 404],
      ['/path1?animal=whale', 'infra-backend-v1'],
      [with_('/?animal=whale', { version: 'one' }), 'infra-backend-v2'],
      [with_('/path2?animal=whale', { version: 'two' }), 'infra-backend-v3'],
      ['/path3?animal=shark', 'infra-backend-v1'],
      [with_('/path4?animal=kraken', { version: 'three' }), 'infra-backend-v1'],
      ['/?animal=shark', 404],
      ['/path4?animal=kraken', 404],
      ['/path5?animal=hydra', 'infra-backend-v1'],
      [with_('/?animal=hydra', { version: 'four' }), 'infra-backend-v3'],
    ],
  ),
  routed(
    'HTTPRouteMethodMatching',
    [
      route('method', 'same-namespace', [
        rule('v1', [{ method: 'POST' }]),
        rule('v2', [{ method: 'GET' }]),
        rule('v1', [prefix('/path1', { method: 'GET' })]),
        rule('v2', [{ method: 'PUT', ...headers(['version', 'one']) }]),
        rule('v3', [prefix('/path2', { method: 'POST', ...headers(['version', 'two']) })]),
        rule('v1', [
          prefix('/path3', { method: 'PATCH' }),
          prefix('/path4', { method: 'DELETE', ...headers(['version', 'three']) }),
        ]),
        rule('v1', [prefix('/path5')]),
        rule('v2', [{ method: 'PATCH' }]),
        rule('v3', [headers(['version', 'four'])]),
      ]),
    ],
    [
      [with_('/', {}, 'POST'), 'infra-backend-v1'],
      [with_('/', {}, 'GET'), 'infra-backend-v2'],
      [with_('/', {}, 'HEAD'), 404],
      [with_('/path1', {}, 'GET'), 'infra-backend-v1'],
      [with_('/', { version: 'one' }, 'PUT'), 'infra-backend-v2'],
      [with_('/path2', { version: 'two' }, 'POST'), 'infra-backend-v3'],
      [with_('/path3', {}, 'PATCH'), 'infra-backend-v1'],
      [with_('/path4', { version: 'three' }, 'DELETE'), 'infra-backend-v1'],
      [with_('/', {}, 'PUT'), 404],
      [with_('/path4', {}, 'DELETE'), 404],
      [with_('/path5', {}, 'PATCH'), 'infra-backend-v1'],
      [with_('/', { version: 'four' }, 'PATCH'), 'infra-backend-v2'],
    ],
  ),
  {
    name: 'HTTPRouteListenerHostnameMatching',
    objects: () => [
      gateway('listener-hostname', [
        http('listener-1', { hostname: 'bar.com' }),
        http('listener-2', { hostname: 'foo.bar.com' }),
        http('listener-3', { hostname: '*.bar.com' }),
        http('listener-4', { hostname: '*.foo.com' }),
      ]),
      ...(['v1', 'v2', 'v3'] as const).map((backend, index) =>
        route(`listener-${backend}`, '', [rule(backend)], {
          parents: (index === 2 ? [3, 4] : [index + 1]).map(number => ({
            name: 'listener-hostname',
            sectionName: `listener-${number}`,
          })),
        }),
      ),
    ],
    async check(own) {
      await own.expect(await own.addressOf('listener-hostname'), [
        ['bar.com/', 'infra-backend-v1'],
        ['foo.bar.com/', 'infra-backend-v2'],
        ['baz.bar.com/', 'infra-backend-v3'],
        ['multiple.prefixes.bar.com/', 'infra-backend-v3'],
        ['multiple.prefixes.foo.com/', 'infra-backend-v3'],
        ['foo.com/', 404],
        ['no.matching.host/', 404],
      ]);
    },
  },
  {
    name: 'HTTPRouteHostnameIntersection',
    objects: () => [
      gateway('intersection', [
        http('listener-1', { hostname: 'very.specific.com' }),
        http('listener-2', { hostname: '*.wildcard.io' }),
        http('listener-3', { hostname: '*.anotherwildcard.io' }),
      ]),
      ...(
        [
          ['s1', 'v1', ['non.matching.com', '*.nonmatchingwildcard.io', 'very.specific.com']],
          [
            's2',
            'v2',
            ['non.matching.com', 'wildcard.io', 'foo.wildcard.io', 'bar.wildcard.io', 'foo.bar.wildcard.io'],
          ],
          ['s3', 'v3', ['non.matching.com', '*.specific.com']],
          ['s4', 'v1', ['*.anotherwildcard.io']],
          ['s5', 'v2', ['specific.but.wrong.com', 'wildcard.io']],
        ] as const
      ).map(([path, backend, hostnames]) =>
        route(path, 'intersection', [rule(backend, [prefix(`/${path}`)])], { hostnames }),
      ),
    ],
    async check(own) {
      await own.expect(await own.addressOf('intersection'), [
        ['very.specific.com/s1', 'infra-backend-v1'],
        ['very.specific.com:1234/s1', 'infra-backend-v1'],
        ['non.matching.com/s1', 404],
        ['foo.nonmatchingwildcard.io/s1', 404],
        ['foo.wildcard.io/s1', 404],
        ['very.specific.com/non-matching-prefix', 404],
        ['foo.wildcard.io/s2', 'infra-backend-v2'],
        ['foo.bar.wildcard.io/s2', 'infra-backend-v2'],
        ['wildcard.io/s2', 404],
        ['very.specific.com/s3', 'infra-backend-v3'],
        ['foo.specific.com/s3', 404],
        ['foo.anotherwildcard.io/s4', 'infra-backend-v1'],
        ['foo.bar.anotherwildcard.io/s4', 'infra-backend-v1'],
        ['anotherwildcard.io/s4', 404],
      ]);
      await own.conditions('httproute', 's5', ['Accepted=False/NoMatchingListenerHostname']);
    },
  },
  {
    name: 'GatewayHTTPListenerIsolation',
    objects: () => {
      const listeners = [
        ['empty-hostname', ''],
        ['wildcard-example-com', '*.example.com'],
        ['wildcard-foo-example-com', '*.foo.example.com'],
        ['abc-foo-example-com', 'abc.foo.example.com'],
      ] as const;
      return [
        gateway(
          'isolation',
          listeners.map(([name, hostname]) => http(name, hostname === '' ? {} : { hostname })),
        ),
        ...listeners.map(([name]) =>
          route(name, '', [rule('v1', [prefix(`/${name}`)])], { parents: [{ name: 'isolation', sectionName: name }] }),
        ),
      ];
    },
    async check(own) {
      const names = ['empty-hostname', 'wildcard-example-com', 'wildcard-foo-example-com', 'abc-foo-example-com'];
      const hosts = ['bar.com', 'bar.example.com', 'bar.foo.example.com', 'abc.foo.example.com'];
      await own.expect(
        await own.addressOf('isolation'),
        hosts.flatMap((host, at) =>
          names.map((name, index): Case => [`${host}/${name}`, at === index ? 'infra-backend-v1' : 404]),
        ),
      );
    },
  },
  routed(
    'HTTPRouteListenerPortMatching',
    [
      gateway('ports', [http('http-1'), { ...http('http-2'), port: 8080 }]),
      route('port-80', '', [rule('v1')], { parents: [{ name: 'ports', port: 80 }] }),
      route('port-8080', '', [rule('v2')], { parents: [{ name: 'ports', port: 8080 }] }),
    ],
    [
      ['/', 'infra-backend-v1'],
      [{ path: '/', port: 8080 }, 'infra-backend-v2'],
    ],
    'ports',
  ),
  routed(
    'HTTPRouteCrossNamespace',
    [route('cross', 'backend-namespaces', [rule('web-backend')], { namespace: webNamespace })],
    [['/', 'web-backend']],
    'backend-namespaces',
  ),
  routed(
    'HTTPRouteReferenceGrant',
    [
      grant('grant', infra, 'HTTPRoute', 'Service', webNamespace, 'web-backend'),
      route('granted', 'same-namespace', [{ backendRefs: [to('web-backend', { namespace: webNamespace })] }]),
    ],
    [['/', 'web-backend']],
  ),
  judged(
    'HTTPRouteInvalidReferenceGrant',
    [
      grant('wrong-kind', infra, 'GRPCRoute', 'Service', appNamespace),
      grant('wrong-namespace', 'other', 'HTTPRoute', 'Service', appNamespace),
      grant('wrong-name', infra, 'HTTPRoute', 'Service', appNamespace, 'other'),
      grant('wrong-place', infra, 'HTTPRoute', 'Service', webNamespace, 'app-backend-v1'),
      route('ungranted', 'same-namespace', [{ backendRefs: [to('app-backend-v1', { namespace: appNamespace })] }]),
    ],
    [['httproute', 'ungranted', ['Accepted=True', 'ResolvedRefs=False/RefNotPermitted']]],
    async own => own.expect(await own.addressOf('same-namespace'), [['/', 500]]),
  ),
  judged(
    'HTTPRoutePartiallyInvalidViaInvalidReferenceGrant',
    [
      grant('wrong-place', infra, 'HTTPRoute', 'Service', webNamespace, 'app-backend-v1'),
      route('partly', 'same-namespace', [
        { matches: [prefix('/v1')], backendRefs: [to('app-backend-v1', { namespace: appNamespace })] },
        rule('v1', [prefix('/v2')]),
      ]),
    ],
    [['httproute', 'partly', ['Accepted=True', 'ResolvedRefs=False/RefNotPermitted']]],
    async own =>
      own.expect(await own.addressOf('same-namespace'), [
        ['/v1', 500],
        ['/v2', 'infra-backend-v1'],
      ]),
  ),
  judged(
    'HTTPRouteInvalidCrossNamespaceBackendRef',
    [route('cross-backend', 'same-namespace', [{ backendRefs: [to('web-backend', { namespace: webNamespace })] }])],
    [['httproute', 'cross-backend', ['ResolvedRefs=False/RefNotPermitted']]],
    async own => own.expect(await own.addressOf('same-namespace'), [['/', 500]]),
  ),
  judged(
    'HTTPRouteInvalidCrossNamespaceParentRef',
    [route('cross-parent', 'same-namespace', [rule('web-backend')], { namespace: webNamespace })],
    [['httproute', 'cross-parent', ['Accepted=False/NotAllowedByListeners'], webNamespace]],
    async own => own.expect(await own.addressOf('same-namespace'), [['/', 404]]),
  ),
  judged(
    'HTTPRouteInvalidNonExistentBackendRef',
    [route('nowhere', 'same-namespace', [rule('not-there')])],
    [['httproute', 'nowhere', ['Accepted=True', 'ResolvedRefs=False/BackendNotFound']]],
    async own => own.expect(await own.addressOf('same-namespace'), [['/', 500]]),
  ),
  judged(
    'HTTPRouteInvalidBackendRefUnknownKind',
    [
      route('alien', 'same-namespace', [
        { backendRefs: [{ group: 'unknownkind.example.com', kind: 'NonExistent', name: 'x' }] },
      ]),
    ],
    [['httproute', 'alien', ['ResolvedRefs=False/InvalidKind']]],
    async own => own.expect(await own.addressOf('same-namespace'), [['/', 500]]),
  ),
  judged(
    'HTTPRouteInvalidParentRefNotMatchingSectionName',
    [route('no-section', '', [rule('v1')], { parents: [{ name: 'same-namespace', sectionName: 'not-there' }] })],
    [['httproute', 'no-section', ['Accepted=False/NoMatchingParent']]],
  ),
  judged(
    'HTTPRouteInvalidParentRefNotMatchingListenerPort',
    [route('no-port', '', [rule('v1')], { parents: [{ name: 'same-namespace', port: 81 }] })],
    [['httproute', 'no-port', ['Accepted=False/NoMatchingParent']]],
  ),
  judged(
    'HTTPRouteInvalidParentRefSectionNameNotMatchingPort',
    [route('no-both', '', [rule('v1')], { parents: [{ name: 'same-namespace', sectionName: 'http', port: 81 }] })],
    [['httproute', 'no-both', ['Accepted=False/NoMatchingParent']]],
  ),
  judged(
    'HTTPRouteDisallowedKind',
    [gateway('tlsroutes-only', [passthrough('tls')]), route('disallowed', 'tlsroutes-only', [rule('v1')])],
    [['httproute', 'disallowed', ['Accepted=False/NotAllowedByListeners']]],
  ),
  routed(
    'HTTPRouteNoBackendRefs',
    [
      route('omitted', 'same-namespace', [
        rule(undefined, [exact('/omitted-no-forward')]),
        { matches: [exact('/empty-no-forward')], backendRefs: [] },
        rule('v1', [prefix('/')]),
      ]),
    ],
    [
      ['/forward', 'infra-backend-v1'],
      ['/omitted-no-forward', 500],
      ['/empty-no-forward', 500],
    ],
  ),
  routed(
    'HTTPRouteServiceTypes',
    [
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'headless', namespace: infra },
        spec: { clusterIP: 'None', ports: [{ name: 'main', port: 8080 }] },
      },
      route('types', 'same-namespace', [rule('headless', [prefix('/headless')]), rule('v1', [prefix('/manual')])]),
    ],
    [
      ['/manual', 'infra-backend-v1'],
      // It has no endpoints.
      ['/headless', 503],
    ],
  ),
  {
    name: 'HTTPRouteWeight',
    objects: () => [route('weight', 'same-namespace', [weighted(['v1', 70], ['v2', 30], ['v3', 0])])],
    async check(own) {
      const address = await own.addressOf('same-namespace');
      await eventually('a backend answers', async () => (await ask(address, {})).echo !== undefined);
      const seen = new Map<string, number>();
      for (let index = 0; index < 100; index++) {
        const { echo } = await ask(address, {});
        seen.set(echo?.backend ?? '', (seen.get(echo?.backend ?? '') ?? 0) + 1);
      }
      const [v1 = 0, v2 = 0] = ['infra-backend-v1', 'infra-backend-v2'].map(each => seen.get(each));
      assert.ok(v1 >= 65 && v1 <= 75 && v1 + v2 === 100, JSON.stringify([...seen]));
    },
  },
  {
    name: 'HTTPRouteRequestHeaderModifier',
    objects: () => [
      route('modifier', 'same-namespace', [
        rule('v1', [prefix('/set')], modifies({ set: [{ name: 'X-Header-Set', value: 'set-overwrites-values' }] })),
        rule('v1', [prefix('/add')], modifies({ add: [{ name: 'X-Header-Add', value: 'add-appends-values' }] })),
        rule('v1', [prefix('/remove')], modifies({ remove: ['X-Header-Remove'] })),
      ]),
    ],
    async check(own) {
      const address = await own.addressOf('same-namespace');
      await own.expect(address, [['/set', 'infra-backend-v1']]);
      const sent = async (path: string, given: Readonly<Record<string, string>>) =>
        (await ask(address, { path, headers: given })).echo?.headers ?? {};
      assert.equal((await sent('/set', { 'x-header-set': 'other' }))['x-header-set'], 'set-overwrites-values');
      assert.equal((await sent('/set', { 'x-some': 'val' }))['x-some'], 'val');
      assert.equal((await sent('/add', { 'X-Header-Add': 'some' }))['x-header-add'], 'some, add-appends-values');
      assert.equal((await sent('/remove', { 'x-header-remove': 'val' }))['x-header-remove'], undefined);
    },
  },
  {
    name: 'HTTPRouteBackendRequestHeaderModification',
    objects: () => [
      route('backend-modifier', 'same-namespace', [
        {
          backendRefs: [
            to('v1', { weight: 1, ...modifies({ set: [{ name: 'Backend', value: 'infra-backend-v1' }] }) }),
            to('v2', { weight: 1, ...modifies({ set: [{ name: 'Backend', value: 'infra-backend-v2' }] }) }),
          ],
        },
      ]),
    ],
    async check(own) {
      const address = await own.addressOf('same-namespace');
      await eventually('a backend answers', async () => (await ask(address, {})).echo !== undefined);
      const seen = new Set<string>();
      for (let index = 0; index < 20; index++) {
        const { echo } = await ask(address, {});
        assert.equal(echo?.headers['backend'], echo?.backend);
        seen.add(echo?.backend ?? '');
      }
      assert.equal(seen.size, 2);
    },
  },
  {
    name: 'HTTPRouteResponseHeaderModifier',
    objects: () => [
      route('response', 'same-namespace', [
        rule('v1', [prefix('/')], {
          filters: [
            {
              type: 'ResponseHeaderModifier',
              responseHeaderModifier: {
                set: [{ name: 'X-Header-Set', value: 'set-overwrites-values' }],
                add: [{ name: 'X-Header-Add', value: 'add-appends-values' }],
                remove: ['X-Header-Remove'],
              },
            },
          ],
        }),
      ]),
    ],
    async check(own) {
      const address = await own.addressOf('same-namespace');
      await own.expect(address, [['/', 'infra-backend-v1']]);
      const answer = await ask(address, {
        headers: { 'X-Echo-Set-Header': 'X-Header-Set:a,X-Header-Add:b,X-Header-Remove:c,X-Other:d' },
      });
      const { 'x-header-set': set, 'x-header-add': add, 'x-header-remove': remove, 'x-other': other } = answer.headers;
      assert.deepEqual([set, add, remove, other], ['set-overwrites-values', 'b, add-appends-values', undefined, 'd']);
    },
  },
  redirects(
    'HTTPRouteRedirectHostAndStatus',
    [
      route('redirects', 'same-namespace', [
        rule(undefined, [prefix('/hostname-redirect')], redirect({ hostname: 'example.org' })),
        rule(undefined, [prefix('/host-and-status')], redirect({ hostname: 'example.org', statusCode: 301 })),
      ]),
    ],
    [
      ['/hostname-redirect', 302, 'http://example.org/hostname-redirect'],
      ['/host-and-status', 301, 'http://example.org/host-and-status'],
    ],
  ),
  redirects(
    'HTTPRouteRedirectPath',
    [
      route('path-redirects', 'same-namespace', [
        rule(
          undefined,
          [prefix('/original-prefix')],
          redirect({ path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/replacement-prefix' } }),
        ),
        rule(
          undefined,
          [prefix('/full')],
          redirect({ path: { type: 'ReplaceFullPath', replaceFullPath: '/full-path-replacement' } }),
        ),
        rule(
          undefined,
          [prefix('/path-and-host')],
          redirect({
            hostname: 'example.org',
            path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/replacement-prefix' },
          }),
        ),
        rule(
          undefined,
          [prefix('/full-path-and-status')],
          redirect({ statusCode: 301, path: { type: 'ReplaceFullPath', replaceFullPath: '/replacement-full' } }),
        ),
      ]),
    ],
    [
      ['/original-prefix/lemon', 302, 'http://ADDRESS/replacement-prefix/lemon'],
      ['/full/path/original', 302, 'http://ADDRESS/full-path-replacement'],
      ['/path-and-host', 302, 'http://example.org/replacement-prefix'],
      ['/full-path-and-status', 301, 'http://ADDRESS/replacement-full'],
    ],
  ),
  redirects(
    'HTTPRouteRedirectScheme',
    [
      route('scheme', 'same-namespace', [
        rule(undefined, [prefix('/scheme-redirect')], redirect({ scheme: 'https' })),
        rule(undefined, [prefix('/scheme-and-host')], redirect({ hostname: 'example.org', scheme: 'https' })),
      ]),
    ],
    [
      ['/scheme-redirect', 302, 'https://ADDRESS/scheme-redirect'],
      ['/scheme-and-host', 302, 'https://example.org/scheme-and-host'],
    ],
  ),
  redirects(
    'HTTPRouteRedirectPort',
    [
      route('port', 'same-namespace', [
        rule(undefined, [prefix('/port')], redirect({ port: 8083 })),
        rule(undefined, [prefix('/port-and-host')], redirect({ port: 8083, hostname: 'example.org' })),
      ]),
    ],
    [
      ['/port', 302, 'http://ADDRESS:8083/port'],
      ['/port-and-host', 302, 'http://example.org:8083/port-and-host'],
    ],
  ),
  {
    name: 'HTTPRouteRedirectPortAndScheme',
    objects: () =>
      (['same-namespace', 'same-namespace-with-https-listener'] as const).map((parent, index) =>
        route(`scheme-port-${index}`, parent, [
          ...([undefined, 80, 443, 8080, 8443] as const).map(port =>
            rule(
              undefined,
              [exact(`/nil-${port ?? 'nil'}`)],
              redirect({ hostname: 'example.org', ...(port && { port }) }),
            ),
          ),
          ...([undefined, 443, 8443] as const).map(port =>
            rule(
              undefined,
              [exact(`/https-${port ?? 'nil'}`)],
              redirect({ scheme: 'https', hostname: 'example.org', ...(port && { port }) }),
            ),
          ),
          ...([undefined, 80, 8080] as const).map(port =>
            rule(
              undefined,
              [exact(`/http-${port ?? 'nil'}`)],
              redirect({ scheme: 'http', hostname: 'example.org', ...(port && { port }) }),
            ),
          ),
        ]),
      ),
    async check(own) {
      for (const [path, wanted] of [
        ['/nil-nil', 'http://example.org'],
        ['/nil-80', 'http://example.org'],
        ['/nil-8080', 'http://example.org:8080'],
        ['/https-nil', 'https://example.org'],
        ['/https-443', 'https://example.org'],
        ['/https-8443', 'https://example.org:8443'],
      ] as const)
        await location(own, 'same-namespace', path, 302, `${wanted}${path}`);
      for (const [path, wanted] of [
        ['/nil-nil', 'https://example.org'],
        ['/nil-443', 'https://example.org'],
        ['/nil-8443', 'https://example.org:8443'],
        ['/http-nil', 'http://example.org'],
        ['/http-80', 'http://example.org'],
        ['/http-8080', 'http://example.org:8080'],
      ] as const)
        await location(own, 'same-namespace-with-https-listener', path, 302, `${wanted}${path}`, 443);
    },
  },
  ...([303, 307, 308] as const).map(code =>
    redirects(
      `HTTPRoute${code}Redirect`,
      [
        route(`redirect-${code}`, 'same-namespace', [
          rule(undefined, [prefix('/x')], redirect({ statusCode: code, hostname: 'example.org' })),
        ]),
      ],
      [['/x', code, 'http://example.org/x']],
    ),
  ),
  {
    name: 'HTTPRouteRewritePath',
    objects: () => [
      route('rewrite', 'same-namespace', [
        rule(
          'v1',
          [prefix('/prefix/one')],
          rewrite({ path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/one' } }),
        ),
        rule(
          'v1',
          [prefix('/strip-prefix')],
          rewrite({ path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/' } }),
        ),
        rule('v1', [prefix('/full/one')], rewrite({ path: { type: 'ReplaceFullPath', replaceFullPath: '/one' } })),
        rule('v1', [prefix('/full/rewrite-path-and-modify-headers')], {
          filters: [
            { type: 'URLRewrite', urlRewrite: { path: { type: 'ReplaceFullPath', replaceFullPath: '/test' } } },
            { type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'X-Header-Set', value: 'set' }] } },
          ],
        }),
      ]),
    ],
    async check(own) {
      const address = await own.addressOf('same-namespace');
      await own.expect(address, [['/prefix/one', 'infra-backend-v1']]);
      for (const [path, wanted] of [
        ['/prefix/one/two', '/one/two'],
        ['/prefix/one', '/one'],
        ['/strip-prefix/three', '/three'],
        ['/strip-prefix', '/'],
        ['/full/one/two', '/one'],
        ['/full/rewrite-path-and-modify-headers/x?q=1', '/test?q=1'],
      ] as const)
        assert.equal((await ask(address, { path })).echo?.path, wanted, path);
    },
  },
  {
    name: 'HTTPRouteRewriteHost',
    objects: () => [
      route(
        'rewrite-host',
        'same-namespace',
        [rule('v1', [prefix('/one')], rewrite({ hostname: 'one.example.org' }))],
        {
          hostnames: ['rewrite.example'],
        },
      ),
    ],
    async check(own) {
      const address = await own.addressOf('same-namespace');
      await own.expect(address, [['rewrite.example/one', 'infra-backend-v1']]);
      assert.equal((await ask(address, { host: 'rewrite.example', path: '/one' })).echo?.host, 'one.example.org');
    },
  },
  {
    name: 'HTTPRouteRequestMirror',
    objects: () => [
      route('mirror', 'same-namespace', [
        rule('v1', [prefix('/mirror')], {
          filters: [
            { type: 'RequestMirror', requestMirror: { backendRef: to('v2') } },
            { type: 'RequestMirror', requestMirror: { backendRef: to('v3') } },
          ],
        }),
      ]),
    ],
    async check(own) {
      const address = await own.addressOf('same-namespace');
      await own.expect(address, [['/mirror', 'infra-backend-v1']]);
      const body = `mirrored ${'x'.repeat(2_000)}`;
      await ask(address, {
        path: '/mirror?body',
        method: 'POST',
        body,
        headers: { 'content-length': String(body.length) },
      });
      for (const name of ['infra-backend-v2', 'infra-backend-v3'])
        await eventually(`${name} has seen the request`, () =>
          own.backends
            .get(name)
            ?.seen.some(each => each.path === '/mirror?body' && each.body === body && each.method === 'POST'),
        );
    },
  },
  {
    name: 'HTTPRouteRequestPercentageMirror',
    objects: () => [
      route('share', 'same-namespace', [
        rule('v1', [prefix('/percent')], {
          filters: [{ type: 'RequestMirror', requestMirror: { backendRef: to('v2'), percent: 20 } }],
        }),
        rule('v1', [prefix('/fraction')], {
          filters: [
            {
              type: 'RequestMirror',
              requestMirror: { backendRef: to('v2'), fraction: { numerator: 1, denominator: 2 } },
            },
          ],
        }),
      ]),
    ],
    async check(own) {
      const address = await own.addressOf('same-namespace');
      await own.expect(address, [['/percent', 'infra-backend-v1']]);
      for (const [path, low, high] of [
        ['/percent/x', 10, 70],
        ['/fraction/x', 60, 140],
      ] as const) {
        for (let index = 0; index < 200; index++) await ask(address, { path });
        const count = () => own.backends.get('infra-backend-v2')?.seen.filter(each => each.path === path).length ?? 0;
        await eventually(`${path} is mirrored`, () => count() >= low);
        assert.ok(count() <= high, `${path}: ${count()}`);
      }
    },
  },
  routed(
    'HTTPRouteTimeoutRequest',
    [
      route('timeout', 'same-namespace', [
        rule('v1', [prefix('/request-timeout')], { timeouts: { request: '500ms' } }),
        rule('v1', [prefix('/disable-request-timeout')], { timeouts: { request: '0s' } }),
      ]),
    ],
    [
      ['/request-timeout', 'infra-backend-v1'],
      ['/request-timeout?delay=1500', 504],
      ['/disable-request-timeout?delay=1000', 'infra-backend-v1'],
    ],
  ),
  routed(
    'HTTPRouteTimeoutBackendRequest',
    [
      route('backend-timeout', 'same-namespace', [
        rule('v1', [prefix('/backend-timeout')], { timeouts: { backendRequest: '500ms' } }),
      ]),
    ],
    [
      ['/backend-timeout', 'infra-backend-v1'],
      ['/backend-timeout?delay=1500', 504],
    ],
  ),
  {
    name: 'HTTPRouteBackendProtocolH2C',
    objects: () => [route('h2c', 'same-namespace', [{ backendRefs: [{ name: 'infra-backend-v1', port: 8081 }] }])],
    async check(own) {
      const address = await own.addressOf('same-namespace');
      await own.expect(address, [['/h2c', 'infra-backend-v1']]);
      assert.equal((await ask(address, { path: '/h2c' })).echo?.protocol, 'HTTP/2.0');
    },
  },
  {
    name: 'HTTPRouteBackendProtocolWebSocket',
    objects: () => [route('ws', 'same-namespace', [{ backendRefs: [{ name: 'infra-backend-v1', port: 8082 }] }])],
    async check(own) {
      const address = await own.addressOf('same-namespace');
      await own.expect(address, [['/ws', 'infra-backend-v1']]);
      const { WebSocket } = await import('ws');
      const message = await new Promise((resolve, reject) => {
        const socket = new WebSocket(`ws://${address}/ws`);
        socket.on('message', data => resolve(String(data)));
        socket.on('error', reject);
      });
      assert.equal(message, 'infra-backend-v1');
    },
  },
  {
    name: 'HTTPRouteCORS',
    objects: () => [
      route('cors', 'same-namespace', [
        rule('v1', [prefix('/cors-1')], {
          filters: [
            {
              type: 'CORS',
              cors: {
                allowOrigins: ['https://www.foo.com', 'https://*.bar.com'],
                allowMethods: ['GET', 'OPTIONS'],
                allowHeaders: ['x-header-1', 'x-header-2'],
                exposeHeaders: ['x-header-3', 'x-header-4'],
                allowCredentials: true,
                maxAge: 3600,
              },
            },
          ],
        }),
      ]),
    ],
    async check(own) {
      const address = await own.addressOf('same-namespace');
      await own.expect(address, [['/cors-1', 'infra-backend-v1']]);
      const preflight = (origin: string) =>
        ask(address, {
          path: '/cors-1',
          method: 'OPTIONS',
          headers: {
            Origin: origin,
            'Access-Control-Request-Method': 'GET',
            'Access-Control-Request-Headers': 'x-header-1',
          },
        });
      for (const origin of ['https://www.foo.com', 'https://www.bar.com', 'https://xpto.www.bar.com']) {
        const { status, headers: given } = await preflight(origin);
        assert.deepEqual(
          [
            status,
            given['access-control-allow-origin'],
            given['access-control-allow-methods'],
            given['access-control-allow-headers'],
            given['access-control-max-age'],
            given['access-control-allow-credentials'],
          ],
          [204, origin, 'GET, OPTIONS', 'x-header-1, x-header-2', '3600', 'true'],
        );
      }
      assert.equal((await preflight('https://foobar.com')).headers['access-control-allow-origin'], undefined);
      const real = await ask(address, { path: '/cors-1', headers: { Origin: 'https://www.foo.com' } });
      assert.deepEqual(
        [
          real.echo?.backend,
          real.headers['access-control-allow-origin'],
          real.headers['access-control-expose-headers'],
        ],
        ['infra-backend-v1', 'https://www.foo.com', 'x-header-3, x-header-4'],
      );
    },
  },
  judged(
    'HTTPRouteObservedGenerationBump',
    [route('bump', 'same-namespace', [rule('v1')])],
    [['httproute', 'bump', ['Accepted=True']]],
    async own => {
      await own.apply(route('bump', 'same-namespace', [rule('v2')]));
      await own.conditions('httproute', 'bump', ['Accepted=True', 'ResolvedRefs=True']);
      await own.expect(await own.addressOf('same-namespace'), [['/', 'infra-backend-v2']]);
    },
  ),
  {
    name: 'HTTPRouteNamedRule',
    objects: () => [
      route('named', 'same-namespace', [
        { name: 'named-rule', ...rule('v1', [prefix('/named')]) },
        rule('v2', [prefix('/unnamed')]),
      ]),
    ],
    check: async own =>
      own.expect(await own.addressOf('same-namespace'), [
        ['/named', 'infra-backend-v1'],
        ['/unnamed', 'infra-backend-v2'],
      ]),
  },
  {
    name: 'HTTPRouteMultipleGateways',
    objects: () => [
      route('shared', '', [rule('v1')], { parents: [{ name: 'same-namespace' }, { name: 'all-namespaces' }] }),
    ],
    async check(own) {
      for (const index of [0, 1]) await own.conditions('httproute', 'shared', ['Accepted=True'], infra, index);
      for (const name of ['same-namespace', 'all-namespaces'])
        await own.expect(await own.addressOf(name), [['/', 'infra-backend-v1']]);
    },
  },
  {
    name: 'HTTPRouteHTTPSListener',
    objects: () => [
      route('https', 'same-namespace-with-https-listener', [rule('v1')], { hostnames: ['example.org'] }),
      route('https-section', '', [rule('v2')], {
        parents: [{ name: 'same-namespace-with-https-listener', sectionName: 'https-with-hostname' }],
      }),
    ],
    async check(own) {
      const address = await own.addressOf('same-namespace-with-https-listener');
      await own.expect(address, [
        [{ serverName: 'example.org', host: 'example.org' }, 'infra-backend-v1'],
        [{ serverName: 'unknown-example.org', host: 'unknown-example.org' }, 404],
        [{ serverName: 'second-example.org', host: 'second-example.org' }, 'infra-backend-v2'],
      ]);
    },
  },
  {
    name: 'HTTPRouteHTTPSListenerDetectMisdirectedRequests',
    objects: () =>
      (
        [
          ['example.org', 'https', 'v1'],
          ['second-example.org', 'https-with-hostname', 'v2'],
          ['*.wildcard.org', 'https-with-wildcard-hostname', 'v3'],
          ['fourth-example.wildcard.org', 'https-with-hostname-matching-wildcard', 'v1'],
        ] as const
      ).map(([hostname, sectionName, backend], index) =>
        route(`misdirected-${index}`, '', [rule(backend)], {
          hostnames: [hostname],
          parents: [{ name: 'same-namespace-with-https-listener', sectionName }],
        }),
      ),
    async check(own) {
      const cases = [
        ['example.org', 'example.org', 'infra-backend-v1'],
        ['example.org', 'second-example.org', 421],
        ['example.org', 'unknown-example.org', 404],
        ['second-example.org', 'second-example.org', 'infra-backend-v2'],
        ['second-example.org', 'example.org', 421],
        ['second-example.org', 'unknown-example.org', 421],
        ['third-example.wildcard.org', 'third-example.wildcard.org', 'infra-backend-v3'],
        ['third-example.wildcard.org', 'fith-example.wildcard.org', 'infra-backend-v3'],
        ['third-example.wildcard.org', 'fourth-example.wildcard.org', 421],
        ['third-example.wildcard.org', 'second-example.org', 421],
        ['fourth-example.wildcard.org', 'fourth-example.wildcard.org', 'infra-backend-v1'],
        ['fourth-example.wildcard.org', 'fith-example.wildcard.org', 421],
        ['unknown-example.org', 'example.org', 'infra-backend-v1'],
        ['unknown-example.org', 'unknown-example.org', 404],
      ] as const;
      await own.expect(
        await own.addressOf('same-namespace-with-https-listener'),
        cases.map(([serverName, host, answer]): Case => [{ serverName, host }, answer]),
      );
    },
  },
  judged(
    'GatewayClassObservedGenerationBump',
    [
      {
        apiVersion: gatewayApi,
        kind: 'GatewayClass',
        metadata: { name: 'bumped' },
        spec: { controllerName: 'windlass.dev/gateway-controller', description: 'old' },
      },
    ],
    [['gatewayclass', 'bumped', ['Accepted=True/Accepted', 'SupportedVersion=True']]],
    async own => {
      await own.cluster.kubectl(
        'patch',
        'gatewayclass',
        'bumped',
        '--type=merge',
        '--patch',
        '{"spec":{"description":"new"}}',
      );
      await own.conditions('gatewayclass', 'bumped', ['Accepted=True/Accepted']);
    },
  ),
  judged(
    'GatewayObservedGenerationBump',
    [gateway('bump', [http()])],
    [['gateway', 'bump', ['Accepted=True', 'Programmed=True']]],
    async own => {
      await own.apply(gateway('bump', [http(), { ...http('alternate'), port: 8080 }]));
      await own.conditions('gateway', 'bump', ['Accepted=True', 'Programmed=True']);
    },
  ),
  judged(
    'GatewayInvalidRouteKind',
    [
      gateway('invalid-kind', [http('http', { allowedRoutes: { kinds: [{ kind: 'InvalidRoute' }] } })]),
      gateway('half-invalid-kind', [
        http('http', { allowedRoutes: { kinds: [{ kind: 'InvalidRoute' }, { kind: 'HTTPRoute' }] } }),
      ]),
    ],
    [],
    async own => {
      await listenerConditions(own, 'invalid-kind', [['kinds=', 'ResolvedRefs=False/InvalidRouteKinds']]);
      await listenerConditions(own, 'half-invalid-kind', [['kinds=HTTPRoute', 'ResolvedRefs=False/InvalidRouteKinds']]);
    },
  ),
  judged(
    'GatewayInvalidListenersUnsupportedProtocol',
    [gateway('unsupported', [{ name: 'alien', port: 80, protocol: 'example.com/alien' }])],
    [['gateway', 'unsupported', ['Accepted=False/ListenersNotValid', 'Programmed=False']]],
    own => listenerConditions(own, 'unsupported', [['Accepted=False/UnsupportedProtocol']]),
  ),
  judged(
    'GatewayListenerConflicts',
    [
      gateway('conflicts', [
        http('http'),
        {
          name: 'https',
          port: 80,
          protocol: 'HTTPS',
          hostname: 'a.example',
          tls: { certificateRefs: [{ name: 'tls-validity-checks-certificate' }] },
        },
        { ...http('fine'), port: 8080 },
      ]),
    ],
    [['gateway', 'conflicts', ['Accepted=True/ListenersNotValid']]],
    own =>
      listenerConditions(own, 'conflicts', [
        ['Conflicted=True/ProtocolConflict', 'Accepted=False/ProtocolConflict', 'Programmed=False'],
        ['Conflicted=True/ProtocolConflict', 'Accepted=False/ProtocolConflict', 'Programmed=False'],
        ['Conflicted=False/NoConflicts', 'Accepted=True', 'Programmed=True'],
      ]),
  ),
  judged(
    'GatewayInvalidTLSConfiguration',
    [
      {
        apiVersion: 'v1',
        kind: 'Secret',
        type: 'Opaque',
        metadata: { name: 'malformed', namespace: infra },
        stringData: { 'tls.crt': 'Hello world\n', 'tls.key': 'Hello world\n' },
      },
      ...(
        [
          ['nonexistent-secret', { name: 'nonexistent' }],
          ['unsupported-group', { name: 'tls-validity-checks-certificate', group: 'wrong.group.company.io' }],
          ['unsupported-kind', { name: 'tls-validity-checks-certificate', kind: 'WrongKind' }],
          ['malformed-secret', { name: 'malformed' }],
        ] as const
      ).map(([name, reference]) =>
        gateway(name, [{ name: 'https', port: 443, protocol: 'HTTPS', tls: { certificateRefs: [reference] } }]),
      ),
    ],
    [],
    async own => {
      for (const name of ['nonexistent-secret', 'unsupported-group', 'unsupported-kind', 'malformed-secret']) {
        await listenerConditions(own, name, [['ResolvedRefs=False/InvalidCertificateRef', 'Programmed=False/Invalid']]);
        await own.conditions('gateway', name, ['Programmed=False/Invalid']);
      }
    },
  ),
  {
    name: 'GatewaySecretReferenceGrantSpecific',
    objects: () => [
      grant('specific', infra, 'Gateway', 'Secret', webNamespace, 'certificate'),
      gateway('granted', [
        {
          name: 'https',
          port: 443,
          protocol: 'HTTPS',
          tls: { certificateRefs: [{ name: 'certificate', namespace: webNamespace }] },
        },
      ]),
    ],
    async check(own) {
      await own.apply(secret('certificate', await own.certificate('granted.example'), webNamespace));
      await listenerConditions(own, 'granted', [['ResolvedRefs=True', 'Programmed=True']]);
      assert.equal(await certificateFor(await own.addressOf('granted'), 'granted.example'), 'granted.example');
    },
  },
  {
    name: 'GatewaySecretInvalidReferenceGrant',
    objects: () => [
      grant('wrong', infra, 'Gateway', 'Secret', webNamespace, 'another'),
      grant('wrong-kind', infra, 'HTTPRoute', 'Secret', webNamespace),
      gateway('ungranted', [
        {
          name: 'https',
          port: 443,
          protocol: 'HTTPS',
          tls: { certificateRefs: [{ name: 'certificate', namespace: webNamespace }] },
        },
      ]),
    ],
    async check(own) {
      await own.apply(secret('certificate', await own.certificate('granted.example'), webNamespace));
      await listenerConditions(own, 'ungranted', [['ResolvedRefs=False/RefNotPermitted', 'Programmed=False/Invalid']]);
    },
  },
  {
    name: 'GatewayModifyListeners',
    objects: () => [
      gateway('add-listener', [http('http')]),
      gateway('remove-listener', [http('http'), { ...http('other'), port: 8080 }]),
      route('everywhere', '', [rule('v1')], { parents: [{ name: 'add-listener' }, { name: 'remove-listener' }] }),
    ],
    async check(own) {
      const added = await own.addressOf('add-listener');
      const removed = await own.addressOf('remove-listener');
      await own.expect(removed, [[{ port: 8080 }, 'infra-backend-v1']]);
      await own.apply(gateway('add-listener', [http('http'), { ...http('other'), port: 8080 }]));
      await own.cluster.kubectl(
        'patch',
        'gateway',
        'remove-listener',
        `--namespace=${infra}`,
        '--type=json',
        '--patch',
        '[{"op":"remove","path":"/spec/listeners/1"}]',
      );
      await own.expect(added, [[{ port: 8080 }, 'infra-backend-v1']]);
      await listenerConditions(own, 'remove-listener', [['attachedRoutes=1', 'Programmed=True']]);
      await eventually('nobody listens any more', () =>
        ask(removed, { port: 8080 }).then(
          () => false,
          () => true,
        ),
      );
      await own.expect(removed, [['/', 'infra-backend-v1']]);
    },
  },
  {
    name: 'GatewayWithAttachedRoutes',
    objects: () => [
      gateway('one', [http('http', { allowedRoutes: { kinds: [{ kind: 'HTTPRoute' }] } })]),
      gateway('two', [
        http('http', { hostname: 'foo.example.com', allowedRoutes: { kinds: [{ kind: 'HTTPRoute' }] } }),
      ]),
      gateway('unresolved', [
        { name: 'tls', port: 443, protocol: 'HTTPS', tls: { certificateRefs: [{ name: 'not-there' }] } },
      ]),
      route('attached-1', 'one', [rule('v1')]),
      route('attached-2', 'two', [rule('v1')]),
      route('attached-3', 'two', [rule('v1')]),
      route('not-attached', 'two', [rule('v1')], { hostnames: ['not-accepted.test.com'] }),
      route('attached-4', 'unresolved', [rule('not-there')]),
    ],
    async check(own) {
      await listenerConditions(own, 'one', [
        ['attachedRoutes=1', 'kinds=HTTPRoute', 'Accepted=True', 'ResolvedRefs=True'],
      ]);
      await listenerConditions(own, 'two', [['attachedRoutes=2', 'Accepted=True']]);
      await own.conditions('httproute', 'not-attached', ['Accepted=False/NoMatchingListenerHostname']);
      await listenerConditions(own, 'unresolved', [['attachedRoutes=1', 'Programmed=False', 'ResolvedRefs=False']]);
      await own.conditions('httproute', 'attached-4', ['ResolvedRefs=False']);
    },
  },
  {
    name: 'GatewayInfrastructurePropagation',
    objects: () => [
      gateway('propagated', [http()], {
        infrastructure: { labels: { 'example.com/label': 'one' }, annotations: { 'example.com/annotation': 'two' } },
      }),
    ],
    async check(own) {
      await own.addressOf('propagated');
      const { items } = await own.cluster.get<{
        readonly items: readonly {
          readonly metadata: Readonly<Record<'labels' | 'annotations', Readonly<Record<string, string>>>>;
        }[];
      }>('service', `--namespace=${infra}`, '--selector=gateway.networking.k8s.io/gateway-name=propagated');
      assert.equal(items[0]?.metadata.labels['example.com/label'], 'one');
      assert.equal(items[0]?.metadata.annotations['example.com/annotation'], 'two');
    },
  },
  judged(
    'GatewayInvalidParametersRef',
    [
      gateway('parameters', [http()], {
        infrastructure: { parametersRef: { group: 'invalid.example', kind: 'Thing', name: 'x' } },
      }),
    ],
    [['gateway', 'parameters', ['Accepted=False/InvalidParameters']]],
  ),
  {
    name: 'GatewayStaticAddresses',
    objects: () => [
      gateway('static', [http()], { addresses: [{ value: '198.18.77.99' }] }),
      gateway('unusable', [http()], { addresses: [{ value: '203.0.113.9' }] }),
      gateway('unsupported-address', [http()], { addresses: [{ type: 'Hostname', value: 'a.example' }] }),
    ],
    async check(own) {
      assert.equal(await own.addressOf('static'), '198.18.77.99');
      await own.conditions('gateway', 'unusable', ['Accepted=True', 'Programmed=False/AddressNotUsable']);
      await own.conditions('gateway', 'unsupported-address', ['Accepted=False/UnsupportedAddress']);
    },
  },
  {
    name: 'GatewayNameMaximumLength',
    objects: () => [gateway(`a${'b'.repeat(60)}.${'c'.repeat(60)}`, [http()])],
    check: async own => void (await own.addressOf(`a${'b'.repeat(60)}.${'c'.repeat(60)}`)),
  },
  grpc(
    'GRPCExactMethodMatching',
    [rule('grpc-infra-backend-v1', [grpcMethod('Echo')]), rule('grpc-infra-backend-v2', [grpcMethod('EchoTwo')])],
    [
      [`/${service}/Echo`, 'grpc-infra-backend-v1'],
      [`/${service}/EchoTwo`, 'grpc-infra-backend-v2'],
      // gRPC's libraries make Unimplemented of it.
      [`/${service}/EchoThree`, 404],
    ],
  ),
  grpc(
    'GRPCRouteHeaderMatching',
    [
      rule('grpc-infra-backend-v1', [headers(['version', 'one'])]),
      rule('grpc-infra-backend-v2', [headers(['version', 'two'])]),
      rule('grpc-infra-backend-v1', [headers(['version', 'two'], ['color', 'orange'])]),
    ],
    [
      [`/${service}/Echo`, 'grpc-infra-backend-v1', undefined, { version: 'one' }],
      [`/${service}/Echo`, 'grpc-infra-backend-v2', undefined, { version: 'two' }],
      [`/${service}/Echo`, 'grpc-infra-backend-v1', undefined, { version: 'two', color: 'orange' }],
      [`/${service}/Echo`, 404, undefined, { color: 'purple' }],
    ],
  ),
  {
    name: 'GRPCRouteListenerHostnameMatching',
    objects: () => [
      gateway('grpc-hosts', [
        http('listener-1', { hostname: 'bar.com' }),
        http('listener-2', { hostname: 'foo.bar.com' }),
        http('listener-3', { hostname: '*.bar.com' }),
      ]),
      ...['v1', 'v2', 'v3'].map((version, index) =>
        route(`grpc-${version}`, '', [rule(`grpc-infra-backend-${version}`)], {
          kind: 'GRPCRoute',
          parents: [{ name: 'grpc-hosts', sectionName: `listener-${index + 1}` }],
        }),
      ),
    ],
    check: own =>
      calls(own, 'grpc-hosts', [
        [`/${service}/Echo`, 'grpc-infra-backend-v1', 'bar.com'],
        [`/${service}/Echo`, 'grpc-infra-backend-v2', 'foo.bar.com'],
        [`/${service}/Echo`, 'grpc-infra-backend-v3', 'multiple.prefixes.bar.com'],
        [`/${service}/Echo`, 404, 'no.matching.host'],
      ]),
  },
  grpc(
    'GRPCRouteNamedRule',
    [{ name: 'named', ...rule('grpc-infra-backend-v1', [grpcMethod('Echo')]) }],
    [[`/${service}/Echo`, 'grpc-infra-backend-v1']],
  ),
  {
    name: 'GRPCRouteWeight',
    objects: () => [
      route(
        'grpc-weight',
        'same-namespace',
        [weighted(['grpc-infra-backend-v1', 70], ['grpc-infra-backend-v2', 30], ['grpc-infra-backend-v3', 0])],
        { kind: 'GRPCRoute' },
      ),
    ],
    async check(own) {
      const address = await own.addressOf('same-namespace');
      await eventually(
        'a backend answers',
        async () => (await call(address, { path: `/${service}/Echo` })).echo !== undefined,
      );
      let first = 0;
      for (let index = 0; index < 50; index++)
        if ((await call(address, { path: `/${service}/Echo` })).echo?.backend === 'grpc-infra-backend-v1') first++;
      assert.ok(first >= 32 && first <= 38, String(first));
    },
  },
  {
    name: 'GRPCRouteRequestHeaderModifier',
    objects: () => [
      route(
        'grpc-modifier',
        'same-namespace',
        [
          rule(
            'grpc-infra-backend-v1',
            [],
            modifies({ set: [{ name: 'X-Header-Set', value: 'set' }], remove: ['X-Header-Remove'] }),
          ),
        ],
        { kind: 'GRPCRoute' },
      ),
    ],
    async check(own) {
      await calls(own, 'same-namespace', [[`/${service}/Echo`, 'grpc-infra-backend-v1']]);
      const { echo } = await call(await own.addressOf('same-namespace'), {
        path: `/${service}/Echo`,
        headers: { 'x-header-set': 'old', 'x-header-remove': 'old' },
      });
      assert.deepEqual([echo?.headers['x-header-set'], echo?.headers['x-header-remove']], ['set', undefined]);
    },
  },
  {
    name: 'GRPCRouteInvalidBackendRefAnswersUnavailable',
    objects: () => [route('grpc-nowhere', 'same-namespace', [rule('not-there')], { kind: 'GRPCRoute' })],
    async check(own) {
      await own.conditions('grpcroute', 'grpc-nowhere', ['ResolvedRefs=False/BackendNotFound']);
      await calls(own, 'same-namespace', [[`/${service}/Echo`, 503]]);
    },
  },
  {
    name: 'TLSRouteSimpleSameNamespace',
    objects: () => [
      gateway('tls', [passthrough('https', '*.example.com')]),
      route('tls', 'tls', [{ backendRefs: [{ name: 'tls-backend', port: 443 }] }], {
        kind: 'TLSRoute',
        hostnames: ['abc.example.com'],
      }),
    ],
    async check(own) {
      const address = await own.addressOf('tls');
      await own.conditions('tlsroute', 'tls', ['Accepted=True', 'ResolvedRefs=True']);
      await own.expect(address, [[{ serverName: 'abc.example.com', host: 'abc.example.com' }, 'tls-backend']]);
      // It is the backend's own certificate.
      assert.equal(await certificateFor(address, 'abc.example.com'), 'abc.example.com');
      await assert.rejects(certificateFor(address, 'other.example.com'));
    },
  },
  {
    name: 'TLSRouteHostnameIntersection',
    objects: () => [
      gateway('tls-hosts', [
        passthrough('exact', 'abc.example.com'),
        passthrough('wild', '*.example.com'),
        passthrough('any'),
      ]),
      ...(
        [
          ['exact', 'tls-backend', ['*.example.com']],
          ['wild', 'infra-backend-v1', ['def.example.com', '*.sub.example.com']],
          ['any', 'infra-backend-v2', ['*.com']],
        ] as const
      ).map(([section, backend, hostnames]) =>
        route(`tls-${section}`, '', [{ backendRefs: [{ name: backend, port: 443 }] }], {
          kind: 'TLSRoute',
          hostnames,
          parents: [{ name: 'tls-hosts', sectionName: section }],
        }),
      ),
    ],
    async check(own) {
      const address = await own.addressOf('tls-hosts');
      await own.expect(address, [
        [{ serverName: 'abc.example.com' }, 'tls-backend'],
        [{ serverName: 'def.example.com' }, 'infra-backend-v1'],
        [{ serverName: 'a.sub.example.com' }, 'infra-backend-v1'],
        [{ serverName: 'a.other.com' }, 'infra-backend-v2'],
      ]);
      await assert.rejects(certificateFor(address, 'ghi.example.com'));
      await assert.rejects(certificateFor(address, 'example.org'));
    },
  },
  {
    name: 'TLSRouteTerminateSimpleSameNamespace',
    objects: () => [
      gateway('tls-terminate', [
        {
          name: 'tls',
          port: 8443,
          protocol: 'TLS',
          hostname: 'tls.example.com',
          tls: { mode: 'Terminate', certificateRefs: [{ name: 'tls-validity-checks-certificate' }] },
        },
      ]),
      route('tls-terminated', 'tls-terminate', [{ backendRefs: [{ name: 'tcp-backend', port: 8080 }] }], {
        kind: 'TLSRoute',
        hostnames: ['tls.example.com'],
      }),
    ],
    async check(own) {
      const address = await own.addressOf('tls-terminate');
      await own.expect(address, [[{ serverName: 'tls.example.com', port: 8443 }, 'tcp-backend']]);
    },
  },
  {
    name: 'TLSRouteMixedTerminationSameNamespace',
    objects: () => {
      const tls = { certificateRefs: [{ name: 'tls-validity-checks-certificate' }] };
      return [
        gateway('tls-mixed', [
          passthrough('through', 'abc.example.com'),
          {
            name: 'ended',
            port: 443,
            protocol: 'TLS',
            hostname: 'def.example.com',
            tls: { mode: 'Terminate', ...tls },
          },
          { name: 'https', port: 443, protocol: 'HTTPS', hostname: 'example.org', tls },
        ]),
        route('mixed-through', '', [{ backendRefs: [{ name: 'tls-backend', port: 443 }] }], {
          kind: 'TLSRoute',
          parents: [{ name: 'tls-mixed', sectionName: 'through' }],
          hostnames: ['abc.example.com'],
        }),
        route('mixed-ended', '', [{ backendRefs: [{ name: 'tcp-backend', port: 8080 }] }], {
          kind: 'TLSRoute',
          parents: [{ name: 'tls-mixed', sectionName: 'ended' }],
          hostnames: ['def.example.com'],
        }),
        route('mixed-https', '', [rule('v1')], { parents: [{ name: 'tls-mixed', sectionName: 'https' }] }),
      ];
    },
    async check(own) {
      await own.expect(await own.addressOf('tls-mixed'), [
        [{ serverName: 'abc.example.com' }, 'tls-backend'],
        [{ serverName: 'def.example.com' }, 'tcp-backend'],
        [{ serverName: 'example.org', host: 'example.org' }, 'infra-backend-v1'],
      ]);
    },
  },
  judged(
    'TLSRouteInvalidReferenceGrant',
    [
      gateway('tls', [passthrough('https')]),
      route(
        'tls-ungranted',
        'tls',
        [{ backendRefs: [{ name: 'app-backend-v1', port: 443, namespace: appNamespace }] }],
        { kind: 'TLSRoute', hostnames: ['abc.example.com'] },
      ),
    ],
    [['tlsroute', 'tls-ungranted', ['Accepted=True', 'ResolvedRefs=False/RefNotPermitted']]],
  ),
  judged(
    'TLSRouteInvalidNoMatchingListener',
    [
      gateway('tls', [passthrough('https', 'abc.example.com')]),
      route('tls-http', 'same-namespace', [{ backendRefs: [{ name: 'tls-backend', port: 443 }] }], {
        kind: 'TLSRoute',
        hostnames: ['abc.example.com'],
      }),
      route('tls-host', 'tls', [{ backendRefs: [{ name: 'tls-backend', port: 443 }] }], {
        kind: 'TLSRoute',
        hostnames: ['other.example.com'],
      }),
    ],
    [
      ['tlsroute', 'tls-http', ['Accepted=False/NotAllowedByListeners']],
      ['tlsroute', 'tls-host', ['Accepted=False/NoMatchingListenerHostname']],
    ],
  ),
  {
    name: 'BackendTLSPolicy',
    objects: () => [route('encrypted', 'same-namespace', [{ backendRefs: [{ name: 'tls-backend', port: 443 }] }])],
    async check(own) {
      const policy = (hostname: string) => ({
        apiVersion: gatewayApi,
        kind: 'BackendTLSPolicy',
        metadata: { name: 'encrypts', namespace: infra },
        spec: {
          targetRefs: [{ group: '', kind: 'Service', name: 'tls-backend' }],
          validation: { caCertificateRefs: [{ group: '', kind: 'ConfigMap', name: 'backend-authority' }], hostname },
        },
      });
      await own.apply(policy('abc.example.com'));
      await own.conditions('backendtlspolicy', 'encrypts', [
        'Accepted=False/NoValidCACertificate',
        'ResolvedRefs=False/InvalidCACertificateRef',
      ]);
      await own.apply({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'backend-authority', namespace: infra },
        data: { 'ca.crt': own.authority.certPem },
      });
      await own.conditions('backendtlspolicy', 'encrypts', ['Accepted=True/Accepted', 'ResolvedRefs=True']);
      const address = await own.addressOf('same-namespace');
      await own.expect(address, [['/', 'tls-backend']]);
      assert.equal((await ask(address, {})).echo?.protocol, 'HTTPS');
      // A certificate for another name is not believed.
      await own.apply(policy('mismatch.example.org'));
      await own.expect(address, [['/', 503]]);
      await own.remove(policy('x'));
    },
  },
  {
    name: 'GatewayFrontendClientCertificateValidation',
    objects: () => [
      gateway(
        'clients',
        [
          {
            name: 'https',
            port: 443,
            protocol: 'HTTPS',
            tls: { certificateRefs: [{ name: 'tls-validity-checks-certificate' }] },
          },
        ],
        {
          tls: {
            frontend: {
              default: {
                validation: { caCertificateRefs: [{ group: '', kind: 'ConfigMap', name: 'client-authority' }] },
              },
            },
          },
        },
      ),
      route('clients', 'clients', [rule('v1')]),
    ],
    async check(own) {
      await listenerConditions(own, 'clients', [
        ['Accepted=False/NoValidCACertificate', 'ResolvedRefs=False/InvalidCACertificateRef'],
      ]);
      await own.apply({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'client-authority', namespace: infra },
        data: { 'ca.crt': own.authority.certPem },
      });
      const address = await own.addressOf('clients');
      const client = await own.certificate('a client');
      await own.expect(address, [[{ serverName: 'example.org', client }, 'infra-backend-v1']]);
      await assert.rejects(ask(address, { serverName: 'example.org' }));
    },
  },
];
