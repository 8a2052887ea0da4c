import type { CustomResourceDefinition } from '#api/apiextensions/v1/custom-resource-definition.ts';

/**
 * The kinds of the Gateway API as CustomResourceDefinitions: fields, bounds, patterns and rules are those of the standard
 * channel of v1.6.
 */
export function gatewayDefinitions(): readonly Definition[] {
  return [gatewayClasses, gateways, httpRoutes, grpcRoutes, tlsRoutes, referenceGrants, backendTlsPolicies];
}

export const gatewayGroup = 'gateway.networking.k8s.io';
export const bundleVersion = 'v1.6.1';

export type Definition = Pick<CustomResourceDefinition, 'spec'> & { readonly metadata: DefinitionMetadata };

interface DefinitionMetadata {
  readonly name: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
}

const boolean: Schema = { type: 'boolean' };

const namespaceName = text({ max: 63, min: 1, pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$' });

const headerName = text({ max: 256, min: 1, pattern: "^[A-Za-z0-9!#$%&'*+\\-.^_\\x60|~]+$" });

const kindName = text({ max: 63, min: 1, pattern: '^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$' });

const tlsOptions = dictionary(text({ max: 4096, min: 0 }), { maxProperties: 16 });

const groupName = text({ max: 253, pattern: '^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$' });

const serviceKind = text({ default: 'Service', max: 63, min: 1, pattern: '^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$' });

const sectionName = text({
  max: 253,
  min: 1,
  pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
});

const coreGroup = text({
  default: '',
  max: 253,
  pattern: '^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
});

const hostname = text({
  max: 253,
  min: 1,
  pattern: '^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
});

const ownGroup = text({
  default: 'gateway.networking.k8s.io',
  max: 253,
  pattern: '^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
});

const controllerName = text({
  max: 253,
  min: 1,
  pattern: "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\\/[A-Za-z0-9\\/\\-._~%!$&'()*+,;=:]+$",
});

const hostnames = list(hostname, { maxItems: 16, listType: 'atomic' });

const addressType = text({
  default: 'IPAddress',
  max: 253,
  min: 1,
  pattern:
    "^Hostname|IPAddress|NamedAddress|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\\/[A-Za-z0-9\\/\\-._~%!$&'()*+,;=:]+$",
});

const headerList = list(object({ name: headerName, value: text({ max: 4096, min: 1 }) }, ['name', 'value']), {
  maxItems: 16,
  keys: ['name'],
  listType: 'map',
});

const localReference = object({ group: groupName, kind: kindName, name: text({ max: 253, min: 1 }) }, [
  'group',
  'kind',
  'name',
]);

const routeKinds = list(object({ group: ownGroup, kind: kindName }, ['kind']), { maxItems: 8, listType: 'atomic' });

const headerMatches = list(
  object(
    {
      name: headerName,
      type: text({ default: 'Exact', enum: ['Exact', 'RegularExpression'] }),
      value: text({ max: 4096, min: 1 }),
    },
    ['name', 'value'],
  ),
  { maxItems: 16, keys: ['name'], listType: 'map' },
);

const labelSelector = object(
  {
    matchExpressions: list(
      object({ key: text(), operator: text(), values: list(text(), { listType: 'atomic' }) }, ['key', 'operator']),
      { listType: 'atomic' },
    ),
    matchLabels: dictionary(text()),
  },
  [],
  { mapType: 'atomic' },
);

const parametersReference = object(
  { group: groupName, kind: kindName, name: text({ max: 253, min: 1 }), namespace: namespaceName },
  ['group', 'kind', 'name'],
);

const certificateReference = object(
  {
    group: coreGroup,
    kind: text({ default: 'Secret', max: 63, min: 1, pattern: '^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$' }),
    name: text({ max: 253, min: 1 }),
    namespace: namespaceName,
  },
  ['name'],
);

const condition = object(
  {
    lastTransitionTime: text({ format: 'date-time' }),
    message: text({ max: 32768 }),
    observedGeneration: integer({ format: 'int64', minimum: 0 }),
    reason: text({ max: 1024, min: 1, pattern: '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$' }),
    status: text({ enum: ['True', 'False', 'Unknown'] }),
    type: text({
      max: 316,
      pattern:
        '^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$',
    }),
  },
  ['lastTransitionTime', 'message', 'reason', 'status', 'type'],
);

const parentReference = object(
  {
    group: ownGroup,
    kind: text({ default: 'Gateway', max: 63, min: 1, pattern: '^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$' }),
    name: text({ max: 253, min: 1 }),
    namespace: namespaceName,
    port: integer({ format: 'int32', maximum: 65535, minimum: 1 }),
    sectionName: sectionName,
  },
  ['name'],
);

const routeConditions = list(condition, { maxItems: 8, minItems: 1, keys: ['type'], listType: 'map' });

const frontendTls = object({
  validation: object(
    {
      caCertificateRefs: list(parametersReference, { maxItems: 16, minItems: 1, listType: 'atomic' }),
      mode: text({ default: 'AllowValidOnly', enum: ['AllowValidOnly', 'AllowInsecureFallback'] }),
    },
    ['caCertificateRefs'],
  ),
});

const headerModifier = object({
  add: headerList,
  remove: list(text(), { maxItems: 16, listType: 'set' }),
  set: headerList,
});

const pathModifier = object(
  {
    replaceFullPath: text({ max: 1024 }),
    replacePrefixMatch: text({ max: 1024 }),
    type: text({ enum: ['ReplaceFullPath', 'ReplacePrefixMatch'] }),
  },
  ['type'],
  {
    rules: [
      [
        "replaceFullPath must be specified when type is set to 'ReplaceFullPath'",
        "self.type == 'ReplaceFullPath' ? has(self.replaceFullPath) : true",
      ],
      [
        "type must be 'ReplaceFullPath' when replaceFullPath is set",
        "has(self.replaceFullPath) ? self.type == 'ReplaceFullPath' : true",
      ],
      [
        "replacePrefixMatch must be specified when type is set to 'ReplacePrefixMatch'",
        "self.type == 'ReplacePrefixMatch' ? has(self.replacePrefixMatch) : true",
      ],
      [
        "type must be 'ReplacePrefixMatch' when replacePrefixMatch is set",
        "has(self.replacePrefixMatch) ? self.type == 'ReplacePrefixMatch' : true",
      ],
    ],
  },
);

const mirror = object(
  {
    backendRef: object(
      {
        group: coreGroup,
        kind: serviceKind,
        name: text({ max: 253, min: 1 }),
        namespace: namespaceName,
        port: integer({ format: 'int32', maximum: 65535, minimum: 1 }),
      },
      ['name'],
      {
        rules: [
          [
            'Must have port for Service reference',
            "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true",
          ],
        ],
      },
    ),
    fraction: object(
      {
        denominator: integer({ default: 100, format: 'int32', minimum: 1 }),
        numerator: integer({ format: 'int32', minimum: 0 }),
      },
      ['numerator'],
      { rules: [['numerator must be less than or equal to denominator', 'self.numerator <= self.denominator']] },
    ),
    percent: integer({ format: 'int32', maximum: 100, minimum: 0 }),
  },
  ['backendRef'],
  {
    rules: [
      [
        'Only one of percent or fraction may be specified in HTTPRequestMirrorFilter',
        '!(has(self.percent) && has(self.fraction))',
      ],
    ],
  },
);

const routeParents = list(
  object({ conditions: routeConditions, controllerName: controllerName, parentRef: parentReference }, [
    'conditions',
    'controllerName',
    'parentRef',
  ]),
  { maxItems: 32, listType: 'atomic' },
);

const routeStatus = object({ parents: routeParents }, ['parents']);

const parentReferences = list(parentReference, {
  maxItems: 32,
  listType: 'atomic',
  rules: [
    [
      'sectionName must be specified when parentRefs includes 2 or more references to the same parent',
      "self.all(p1, self.all(p2, p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name && (((!has(p1.__namespace__) || p1.__namespace__ == '') && (!has(p2.__namespace__) || p2.__namespace__ == '')) || (has(p1.__namespace__) && has(p2.__namespace__) && p1.__namespace__ == p2.__namespace__ )) ? ((!has(p1.sectionName) || p1.sectionName == '') == (!has(p2.sectionName) || p2.sectionName == '')) : true))",
    ],
    [
      'sectionName must be unique when parentRefs includes 2 or more references to the same parent',
      "self.all(p1, self.exists_one(p2, p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name && (((!has(p1.__namespace__) || p1.__namespace__ == '') && (!has(p2.__namespace__) || p2.__namespace__ == '')) || (has(p1.__namespace__) && has(p2.__namespace__) && p1.__namespace__ == p2.__namespace__ )) && (((!has(p1.sectionName) || p1.sectionName == '') && (!has(p2.sectionName) || p2.sectionName == '')) || (has(p1.sectionName) && has(p2.sectionName) && p1.sectionName == p2.sectionName))))",
    ],
  ],
});

/** The field of a filter is there for its type, and for no other. */
function onlyFor(field: string, type: string): readonly (readonly [message: string, rule: string])[] {
  return [
    [
      `filter.${field} must be nil if the filter.type is not ${type}`,
      `!(has(self.${field}) && self.type != '${type}')`,
    ],
    [`filter.${field} must be specified for ${type} filter.type`, `!(!has(self.${field}) && self.type == '${type}')`],
  ];
}

const grpcFilters = list(
  object(
    {
      extensionRef: localReference,
      requestHeaderModifier: headerModifier,
      requestMirror: mirror,
      responseHeaderModifier: headerModifier,
      type: text({ enum: ['ResponseHeaderModifier', 'RequestHeaderModifier', 'RequestMirror', 'ExtensionRef'] }),
    },
    ['type'],
    {
      rules: [
        ...onlyFor('requestHeaderModifier', 'RequestHeaderModifier'),
        ...onlyFor('responseHeaderModifier', 'ResponseHeaderModifier'),
        ...onlyFor('requestMirror', 'RequestMirror'),
        ...onlyFor('extensionRef', 'ExtensionRef'),
      ],
    },
  ),
  {
    maxItems: 16,
    listType: 'atomic',
    rules: [
      [
        'RequestHeaderModifier filter cannot be repeated',
        "self.filter(f, f.type == 'RequestHeaderModifier').size() <= 1",
      ],
      [
        'ResponseHeaderModifier filter cannot be repeated',
        "self.filter(f, f.type == 'ResponseHeaderModifier').size() <= 1",
      ],
    ],
  },
);

const httpFilters = list(
  object(
    {
      cors: object({
        allowCredentials: boolean,
        allowHeaders: list(headerName, {
          maxItems: 64,
          listType: 'set',
          rules: [["AllowHeaders cannot contain '*' alongside other methods", "!('*' in self && self.size() > 1)"]],
        }),
        allowMethods: list(
          text({ enum: ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH', '*'] }),
          {
            maxItems: 9,
            listType: 'set',
            rules: [["AllowMethods cannot contain '*' alongside other methods", "!('*' in self && self.size() > 1)"]],
          },
        ),
        allowOrigins: list(
          text({
            max: 253,
            min: 1,
            pattern: '(^\\*$)|(^(http(s)?):\\/\\/(((\\*\\.)?([a-zA-Z0-9\\-]+\\.)*[a-zA-Z0-9-]+|\\*)(:([0-9]{1,5}))?)$)',
          }),
          {
            maxItems: 64,
            listType: 'set',
            rules: [["AllowOrigins cannot contain '*' alongside other origins", "!('*' in self && self.size() > 1)"]],
          },
        ),
        exposeHeaders: list(headerName, { maxItems: 64, listType: 'set' }),
        maxAge: integer({ default: 5, format: 'int32', minimum: 1 }),
      }),
      extensionRef: localReference,
      requestHeaderModifier: headerModifier,
      requestMirror: mirror,
      requestRedirect: object({
        hostname: sectionName,
        path: pathModifier,
        port: integer({ format: 'int32', maximum: 65535, minimum: 1 }),
        scheme: text({ enum: ['http', 'https'] }),
        statusCode: integer({ default: 302, enum: [301, 302, 303, 307, 308] }),
      }),
      responseHeaderModifier: headerModifier,
      type: text({
        enum: [
          'RequestHeaderModifier',
          'ResponseHeaderModifier',
          'RequestMirror',
          'RequestRedirect',
          'URLRewrite',
          'ExtensionRef',
          'CORS',
        ],
      }),
      urlRewrite: object({ hostname: sectionName, path: pathModifier }),
    },
    ['type'],
    {
      rules: [
        ...onlyFor('cors', 'CORS'),
        ...onlyFor('requestHeaderModifier', 'RequestHeaderModifier'),
        ...onlyFor('responseHeaderModifier', 'ResponseHeaderModifier'),
        ...onlyFor('requestMirror', 'RequestMirror'),
        ...onlyFor('requestRedirect', 'RequestRedirect'),
        ...onlyFor('urlRewrite', 'URLRewrite'),
        ...onlyFor('extensionRef', 'ExtensionRef'),
      ],
    },
  ),
  {
    maxItems: 16,
    listType: 'atomic',
    rules: [
      [
        'May specify either httpRouteFilterRequestRedirect or httpRouteFilterRequestRewrite, but not both',
        "!(self.exists(f, f.type == 'RequestRedirect') && self.exists(f, f.type == 'URLRewrite'))",
      ],
      ['CORS filter cannot be repeated', "self.filter(f, f.type == 'CORS').size() <= 1"],
      [
        'RequestHeaderModifier filter cannot be repeated',
        "self.filter(f, f.type == 'RequestHeaderModifier').size() <= 1",
      ],
      [
        'ResponseHeaderModifier filter cannot be repeated',
        "self.filter(f, f.type == 'ResponseHeaderModifier').size() <= 1",
      ],
      ['RequestRedirect filter cannot be repeated', "self.filter(f, f.type == 'RequestRedirect').size() <= 1"],
      ['URLRewrite filter cannot be repeated', "self.filter(f, f.type == 'URLRewrite').size() <= 1"],
    ],
  },
);

/** A kind of Gateways, and which controller serves them. */
export const gatewayClasses = definition({
  kind: 'GatewayClass',
  plural: 'gatewayclasses',
  shortNames: ['gc'],
  scope: 'Cluster',
  doc: 'A kind of Gateways, and which controller serves them.',
  versions: ['v1', 'v1beta1'],
  stored: 'v1',
  columns: [
    ['Controller', '.spec.controllerName'],
    ['Accepted', '.status.conditions[?(@.type=="Accepted")].status'],
    ['Age', '.metadata.creationTimestamp', 'date'],
    ['Description', '.spec.description', 'string', 1],
  ],
  spec: object(
    {
      controllerName: text({
        max: 253,
        min: 1,
        pattern:
          "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\\/[A-Za-z0-9\\/\\-._~%!$&'()*+,;=:]+$",
        rules: [['field is immutable', 'self == oldSelf']],
      }),
      description: text({ max: 64 }),
      parametersRef: parametersReference,
    },
    ['controllerName'],
  ),
  status: object(
    {
      conditions: list(condition, {
        default: [
          {
            lastTransitionTime: '1970-01-01T00:00:00Z',
            message: 'Waiting for controller',
            reason: 'Pending',
            status: 'Unknown',
            type: 'Accepted',
          },
        ],
        maxItems: 8,
        keys: ['type'],
        listType: 'map',
      }),
      supportedFeatures: list(object({ name: text() }, ['name']), { maxItems: 64, keys: ['name'], listType: 'map' }),
    },
    [],
    {
      default: {
        conditions: [
          {
            lastTransitionTime: '1970-01-01T00:00:00Z',
            message: 'Waiting for controller',
            reason: 'Pending',
            status: 'Unknown',
            type: 'Accepted',
          },
        ],
      },
    },
  ),
  required: ['spec'],
});

/** Where traffic comes in: listeners with ports, protocols, host names and certificates. */
export const gateways = definition({
  kind: 'Gateway',
  plural: 'gateways',
  shortNames: ['gtw'],
  scope: 'Namespaced',
  doc: 'Where traffic comes in: listeners with ports, protocols, host names and certificates.',
  versions: ['v1', 'v1beta1'],
  stored: 'v1',
  columns: [
    ['Class', '.spec.gatewayClassName'],
    ['Address', '.status.addresses[*].value'],
    ['Programmed', '.status.conditions[?(@.type=="Programmed")].status'],
    ['Age', '.metadata.creationTimestamp', 'date'],
  ],
  spec: object(
    {
      addresses: list(
        object({ type: addressType, value: text({ max: 253 }) }, [], {
          oneOf: [
            {
              properties: { type: { enum: ['IPAddress'] }, value: { anyOf: [{ format: 'ipv4' }, { format: 'ipv6' }] } },
            },
            { properties: { type: { not: { enum: ['IPAddress'] } } } },
          ],
          rules: [
            [
              'Hostname value must be empty or contain only valid characters (matching ^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$)',
              'self.type == \'Hostname\' ? (!has(self.value) || self.value.matches(r"""^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$""")): true',
            ],
          ],
        }),
        {
          maxItems: 16,
          listType: 'atomic',
          rules: [
            [
              'IPAddress values must be unique',
              "self.all(a1, a1.type == 'IPAddress' && has(a1.value) ? self.exists_one(a2, a2.type == a1.type && has(a2.value) && a2.value == a1.value) : true )",
            ],
            [
              'Hostname values must be unique',
              "self.all(a1, a1.type == 'Hostname'  && has(a1.value) ? self.exists_one(a2, a2.type == a1.type && has(a2.value) && a2.value == a1.value) : true )",
            ],
          ],
        },
      ),
      allowedListeners: object({
        namespaces: object(
          { from: text({ default: 'None', enum: ['All', 'Selector', 'Same', 'None'] }), selector: labelSelector },
          [],
          { default: { from: 'None' } },
        ),
      }),
      gatewayClassName: text({ max: 253, min: 1 }),
      infrastructure: object({
        annotations: dictionary(text({ max: 4096, min: 0 }), {
          maxProperties: 16,
          rules: [
            [
              'Annotation keys must be in the form of an optional DNS subdomain prefix followed by a required name segment of up to 63 characters.',
              'self.all(key, key.matches(r"""^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$"""))',
            ],
            [
              "If specified, the annotation key's prefix must be a DNS subdomain not longer than 253 characters in total.",
              'self.all(key, key.split("/")[0].size() < 253)',
            ],
          ],
        }),
        labels: dictionary(text({ max: 63, min: 0, pattern: '^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$' }), {
          maxProperties: 8,
          rules: [
            [
              'Label keys must be in the form of an optional DNS subdomain prefix followed by a required name segment of up to 63 characters.',
              'self.all(key, key.matches(r"""^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$"""))',
            ],
            [
              "If specified, the label key's prefix must be a DNS subdomain not longer than 253 characters in total.",
              'self.all(key, key.split("/")[0].size() < 253)',
            ],
          ],
        }),
        parametersRef: localReference,
      }),
      listeners: list(
        object(
          {
            allowedRoutes: object(
              {
                kinds: routeKinds,
                namespaces: object(
                  { from: text({ default: 'Same', enum: ['All', 'Selector', 'Same'] }), selector: labelSelector },
                  [],
                  { default: { from: 'Same' } },
                ),
              },
              [],
              { default: { namespaces: { from: 'Same' } } },
            ),
            hostname: hostname,
            name: sectionName,
            port: integer({ format: 'int32', maximum: 65535, minimum: 1 }),
            protocol: text({
              max: 255,
              min: 1,
              pattern:
                '^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\\/[A-Za-z0-9]+$',
            }),
            tls: object(
              {
                certificateRefs: list(certificateReference, { maxItems: 64, listType: 'atomic' }),
                mode: text({ default: 'Terminate', enum: ['Terminate', 'Passthrough'] }),
                options: tlsOptions,
              },
              [],
              {
                rules: [
                  [
                    'certificateRefs or options must be specified when mode is Terminate',
                    "self.mode == 'Terminate' ? size(self.certificateRefs) > 0 || size(self.options) > 0 : true",
                  ],
                ],
              },
            ),
          },
          ['name', 'port', 'protocol'],
        ),
        {
          maxItems: 64,
          minItems: 1,
          keys: ['name'],
          listType: 'map',
          rules: [
            [
              "tls must not be specified for protocols ['HTTP', 'TCP', 'UDP']",
              "self.all(l, l.protocol in ['HTTP', 'TCP', 'UDP'] ? !has(l.tls) : true)",
            ],
            [
              'tls mode must be Terminate for protocol HTTPS',
              "self.all(l, (l.protocol == 'HTTPS' && has(l.tls)) ? (l.tls.mode == '' || l.tls.mode == 'Terminate') : true)",
            ],
            [
              'tls mode must be set for protocol TLS',
              "self.all(l, (l.protocol == 'TLS' ? has(l.tls) && has(l.tls.mode) && l.tls.mode != '' : true))",
            ],
            [
              "hostname must not be specified for protocols ['TCP', 'UDP']",
              "self.all(l, l.protocol in ['TCP', 'UDP']  ? (!has(l.hostname) || l.hostname == '') : true)",
            ],
            [
              'Listener name must be unique within the Gateway',
              'self.all(l1, self.exists_one(l2, l1.name == l2.name))',
            ],
            [
              'Combination of port, protocol and hostname must be unique for each listener',
              'self.all(l1, self.exists_one(l2, l1.port == l2.port && l1.protocol == l2.protocol && (has(l1.hostname) && has(l2.hostname) ? l1.hostname == l2.hostname : !has(l1.hostname) && !has(l2.hostname))))',
            ],
          ],
        },
      ),
      tls: object({
        backend: object({ clientCertificateRef: certificateReference }),
        frontend: object(
          {
            default: frontendTls,
            perPort: list(
              object({ port: integer({ format: 'int32', maximum: 65535, minimum: 1 }), tls: frontendTls }, [
                'port',
                'tls',
              ]),
              {
                maxItems: 64,
                keys: ['port'],
                listType: 'map',
                rules: [
                  [
                    'Port for TLS configuration must be unique within the Gateway',
                    'self.all(t1, self.exists_one(t2, t1.port == t2.port))',
                  ],
                ],
              },
            ),
          },
          ['default'],
        ),
      }),
    },
    ['gatewayClassName', 'listeners'],
  ),
  status: object(
    {
      addresses: list(
        object({ type: addressType, value: text({ max: 253, min: 1 }) }, ['value'], {
          oneOf: [
            {
              properties: { type: { enum: ['IPAddress'] }, value: { anyOf: [{ format: 'ipv4' }, { format: 'ipv6' }] } },
            },
            { properties: { type: { not: { enum: ['IPAddress'] } } } },
          ],
          rules: [
            [
              'Hostname value must only contain valid characters (matching ^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$)',
              'self.type == \'Hostname\' ? self.value.matches(r"""^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"""): true',
            ],
          ],
        }),
        { maxItems: 16, listType: 'atomic' },
      ),
      attachedListenerSets: integer({ format: 'int32' }),
      conditions: list(condition, {
        default: [
          {
            lastTransitionTime: '1970-01-01T00:00:00Z',
            message: 'Waiting for controller',
            reason: 'Pending',
            status: 'Unknown',
            type: 'Accepted',
          },
          {
            lastTransitionTime: '1970-01-01T00:00:00Z',
            message: 'Waiting for controller',
            reason: 'Pending',
            status: 'Unknown',
            type: 'Programmed',
          },
        ],
        maxItems: 8,
        keys: ['type'],
        listType: 'map',
      }),
      listeners: list(
        object(
          {
            attachedRoutes: integer({ format: 'int32' }),
            conditions: list(condition, { maxItems: 8, keys: ['type'], listType: 'map' }),
            name: sectionName,
            supportedKinds: routeKinds,
          },
          ['attachedRoutes', 'conditions', 'name'],
        ),
        { maxItems: 64, keys: ['name'], listType: 'map' },
      ),
    },
    [],
    {
      default: {
        conditions: [
          {
            lastTransitionTime: '1970-01-01T00:00:00Z',
            message: 'Waiting for controller',
            reason: 'Pending',
            status: 'Unknown',
            type: 'Accepted',
          },
          {
            lastTransitionTime: '1970-01-01T00:00:00Z',
            message: 'Waiting for controller',
            reason: 'Pending',
            status: 'Unknown',
            type: 'Programmed',
          },
        ],
      },
    },
  ),
  required: ['spec'],
});

/** Leads HTTP requests of a Gateway to Services, by host, path, method, headers and query. */
export const httpRoutes = definition({
  kind: 'HTTPRoute',
  plural: 'httproutes',
  scope: 'Namespaced',
  doc: 'Leads HTTP requests of a Gateway to Services, by host, path, method, headers and query.',
  versions: ['v1', 'v1beta1'],
  stored: 'v1',
  columns: [
    ['Hostnames', '.spec.hostnames'],
    ['Age', '.metadata.creationTimestamp', 'date'],
  ],
  spec: object({
    hostnames: hostnames,
    parentRefs: parentReferences,
    rules: list(
      object(
        {
          backendRefs: list(
            object(
              {
                filters: httpFilters,
                group: coreGroup,
                kind: serviceKind,
                name: text({ max: 253, min: 1 }),
                namespace: namespaceName,
                port: integer({ format: 'int32', maximum: 65535, minimum: 1 }),
                weight: integer({ default: 1, format: 'int32', maximum: 1000000, minimum: 0 }),
              },
              ['name'],
              {
                rules: [
                  [
                    'Must have port for Service reference',
                    "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true",
                  ],
                ],
              },
            ),
            { maxItems: 16, listType: 'atomic' },
          ),
          filters: httpFilters,
          matches: list(
            object({
              headers: headerMatches,
              method: text({ enum: ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'] }),
              path: object(
                {
                  type: text({ default: 'PathPrefix', enum: ['Exact', 'PathPrefix', 'RegularExpression'] }),
                  value: text({ default: '/', max: 1024 }),
                },
                [],
                {
                  default: { type: 'PathPrefix', value: '/' },
                  rules: [
                    [
                      "value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']",
                      "(self.type in ['Exact','PathPrefix']) ? self.value.startsWith('/') : true",
                    ],
                    [
                      "must not contain '//' when type one of ['Exact', 'PathPrefix']",
                      "(self.type in ['Exact','PathPrefix']) ? !self.value.contains('//') : true",
                    ],
                    [
                      "must not contain '/./' when type one of ['Exact', 'PathPrefix']",
                      "(self.type in ['Exact','PathPrefix']) ? !self.value.contains('/./') : true",
                    ],
                    [
                      "must not contain '/../' when type one of ['Exact', 'PathPrefix']",
                      "(self.type in ['Exact','PathPrefix']) ? !self.value.contains('/../') : true",
                    ],
                    [
                      "must not contain '%2f' when type one of ['Exact', 'PathPrefix']",
                      "(self.type in ['Exact','PathPrefix']) ? !self.value.contains('%2f') : true",
                    ],
                    [
                      "must not contain '%2F' when type one of ['Exact', 'PathPrefix']",
                      "(self.type in ['Exact','PathPrefix']) ? !self.value.contains('%2F') : true",
                    ],
                    [
                      "must not contain '#' when type one of ['Exact', 'PathPrefix']",
                      "(self.type in ['Exact','PathPrefix']) ? !self.value.contains('#') : true",
                    ],
                    [
                      "must not end with '/..' when type one of ['Exact', 'PathPrefix']",
                      "(self.type in ['Exact','PathPrefix']) ? !self.value.endsWith('/..') : true",
                    ],
                    [
                      "must not end with '/.' when type one of ['Exact', 'PathPrefix']",
                      "(self.type in ['Exact','PathPrefix']) ? !self.value.endsWith('/.') : true",
                    ],
                    [
                      "type must be one of ['Exact', 'PathPrefix', 'RegularExpression']",
                      "self.type in ['Exact','PathPrefix'] || self.type == 'RegularExpression'",
                    ],
                    [
                      "must only contain valid characters (matching ^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$) for types ['Exact', 'PathPrefix']",
                      '(self.type in [\'Exact\',\'PathPrefix\']) ? self.value.matches(r"""^(?:[-A-Za-z0-9/._~!$&\'()*+,;=:@]|[%][0-9a-fA-F]{2})+$""") : true',
                    ],
                  ],
                },
              ),
              queryParams: list(
                object(
                  {
                    name: headerName,
                    type: text({ default: 'Exact', enum: ['Exact', 'RegularExpression'] }),
                    value: text({ max: 1024, min: 1 }),
                  },
                  ['name', 'value'],
                ),
                { maxItems: 16, keys: ['name'], listType: 'map' },
              ),
            }),
            { default: [{ path: { type: 'PathPrefix', value: '/' } }], maxItems: 64, listType: 'atomic' },
          ),
          name: sectionName,
          timeouts: object(
            {
              backendRequest: text({ pattern: '^([0-9]{1,5}(h|m|s|ms)){1,4}$' }),
              request: text({ pattern: '^([0-9]{1,5}(h|m|s|ms)){1,4}$' }),
            },
            [],
            {
              rules: [
                [
                  'backendRequest timeout cannot be longer than request timeout',
                  "!(has(self.request) && has(self.backendRequest) && duration(self.request) != duration('0s') && duration(self.backendRequest) > duration(self.request))",
                ],
              ],
            },
          ),
        },
        [],
        {
          rules: [
            [
              'RequestRedirect filter must not be used together with backendRefs',
              '(has(self.backendRefs) && size(self.backendRefs) > 0) ? (!has(self.filters) || self.filters.all(f, !has(f.requestRedirect))): true',
            ],
            [
              'When using RequestRedirect filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified',
              "(has(self.filters) && self.filters.exists_one(f, has(f.requestRedirect) && has(f.requestRedirect.path) && f.requestRedirect.path.type == 'ReplacePrefixMatch' && has(f.requestRedirect.path.replacePrefixMatch))) ? ((size(self.matches) != 1 || !has(self.matches[0].path) || self.matches[0].path.type != 'PathPrefix') ? false : true) : true",
            ],
            [
              'When using URLRewrite filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified',
              "(has(self.filters) && self.filters.exists_one(f, has(f.urlRewrite) && has(f.urlRewrite.path) && f.urlRewrite.path.type == 'ReplacePrefixMatch' && has(f.urlRewrite.path.replacePrefixMatch))) ? ((size(self.matches) != 1 || !has(self.matches[0].path) || self.matches[0].path.type != 'PathPrefix') ? false : true) : true",
            ],
            [
              'Within backendRefs, when using RequestRedirect filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified',
              "(has(self.backendRefs) && self.backendRefs.exists_one(b, (has(b.filters) && b.filters.exists_one(f, has(f.requestRedirect) && has(f.requestRedirect.path) && f.requestRedirect.path.type == 'ReplacePrefixMatch' && has(f.requestRedirect.path.replacePrefixMatch))) )) ? ((size(self.matches) != 1 || !has(self.matches[0].path) || self.matches[0].path.type != 'PathPrefix') ? false : true) : true",
            ],
            [
              'Within backendRefs, When using URLRewrite filter with path.replacePrefixMatch, exactly one PathPrefix match must be specified',
              "(has(self.backendRefs) && self.backendRefs.exists_one(b, (has(b.filters) && b.filters.exists_one(f, has(f.urlRewrite) && has(f.urlRewrite.path) && f.urlRewrite.path.type == 'ReplacePrefixMatch' && has(f.urlRewrite.path.replacePrefixMatch))) )) ? ((size(self.matches) != 1 || !has(self.matches[0].path) || self.matches[0].path.type != 'PathPrefix') ? false : true) : true",
            ],
          ],
        },
      ),
      {
        default: [{ matches: [{ path: { type: 'PathPrefix', value: '/' } }] }],
        maxItems: 16,
        minItems: 1,
        listType: 'atomic',
        rules: [
          [
            'While 16 rules and 64 matches per rule are allowed, the total number of matches across all rules in a route must be less than 128',
            '(self.size() > 0 ? self[0].matches.size() : 0) + (self.size() > 1 ? self[1].matches.size() : 0) + (self.size() > 2 ? self[2].matches.size() : 0) + (self.size() > 3 ? self[3].matches.size() : 0) + (self.size() > 4 ? self[4].matches.size() : 0) + (self.size() > 5 ? self[5].matches.size() : 0) + (self.size() > 6 ? self[6].matches.size() : 0) + (self.size() > 7 ? self[7].matches.size() : 0) + (self.size() > 8 ? self[8].matches.size() : 0) + (self.size() > 9 ? self[9].matches.size() : 0) + (self.size() > 10 ? self[10].matches.size() : 0) + (self.size() > 11 ? self[11].matches.size() : 0) + (self.size() > 12 ? self[12].matches.size() : 0) + (self.size() > 13 ? self[13].matches.size() : 0) + (self.size() > 14 ? self[14].matches.size() : 0) + (self.size() > 15 ? self[15].matches.size() : 0) <= 128',
          ],
        ],
      },
    ),
  }),
  status: routeStatus,
  required: ['spec'],
});

/** Leads gRPC calls of a Gateway to Services, by host, service, method and headers. */
export const grpcRoutes = definition({
  kind: 'GRPCRoute',
  plural: 'grpcroutes',
  scope: 'Namespaced',
  doc: 'Leads gRPC calls of a Gateway to Services, by host, service, method and headers.',
  versions: ['v1'],
  stored: 'v1',
  columns: [
    ['Hostnames', '.spec.hostnames'],
    ['Age', '.metadata.creationTimestamp', 'date'],
  ],
  spec: object({
    hostnames: hostnames,
    parentRefs: parentReferences,
    rules: list(
      object({
        backendRefs: list(
          object(
            {
              filters: grpcFilters,
              group: coreGroup,
              kind: serviceKind,
              name: text({ max: 253, min: 1 }),
              namespace: namespaceName,
              port: integer({ format: 'int32', maximum: 65535, minimum: 1 }),
              weight: integer({ default: 1, format: 'int32', maximum: 1000000, minimum: 0 }),
            },
            ['name'],
            {
              rules: [
                [
                  'Must have port for Service reference',
                  "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true",
                ],
              ],
            },
          ),
          { maxItems: 16, listType: 'atomic' },
        ),
        filters: grpcFilters,
        matches: list(
          object({
            headers: headerMatches,
            method: object(
              {
                method: text({ max: 1024 }),
                service: text({ max: 1024 }),
                type: text({ default: 'Exact', enum: ['Exact', 'RegularExpression'] }),
              },
              [],
              {
                rules: [
                  [
                    "One or both of 'service' or 'method' must be specified",
                    'has(self.type) ? has(self.service) || has(self.method) : true',
                  ],
                  [
                    'service must only contain valid characters (matching ^(?i)\\.?[a-z_][a-z_0-9]*(\\.[a-z_][a-z_0-9]*)*$)',
                    '(!has(self.type) || self.type == \'Exact\') && has(self.service) ? self.service.matches(r"""^(?i)\\.?[a-z_][a-z_0-9]*(\\.[a-z_][a-z_0-9]*)*$"""): true',
                  ],
                  [
                    'method must only contain valid characters (matching ^[A-Za-z_][A-Za-z_0-9]*$)',
                    '(!has(self.type) || self.type == \'Exact\') && has(self.method) ? self.method.matches(r"""^[A-Za-z_][A-Za-z_0-9]*$"""): true',
                  ],
                ],
              },
            ),
          }),
          { maxItems: 64, listType: 'atomic' },
        ),
        name: sectionName,
      }),
      {
        maxItems: 16,
        listType: 'atomic',
        rules: [
          [
            'While 16 rules and 64 matches per rule are allowed, the total number of matches across all rules in a route must be less than 128',
            '(self.size() > 0 ? (has(self[0].matches) ? self[0].matches.size() : 0) : 0) + (self.size() > 1 ? (has(self[1].matches) ? self[1].matches.size() : 0) : 0) + (self.size() > 2 ? (has(self[2].matches) ? self[2].matches.size() : 0) : 0) + (self.size() > 3 ? (has(self[3].matches) ? self[3].matches.size() : 0) : 0) + (self.size() > 4 ? (has(self[4].matches) ? self[4].matches.size() : 0) : 0) + (self.size() > 5 ? (has(self[5].matches) ? self[5].matches.size() : 0) : 0) + (self.size() > 6 ? (has(self[6].matches) ? self[6].matches.size() : 0) : 0) + (self.size() > 7 ? (has(self[7].matches) ? self[7].matches.size() : 0) : 0) + (self.size() > 8 ? (has(self[8].matches) ? self[8].matches.size() : 0) : 0) + (self.size() > 9 ? (has(self[9].matches) ? self[9].matches.size() : 0) : 0) + (self.size() > 10 ? (has(self[10].matches) ? self[10].matches.size() : 0) : 0) + (self.size() > 11 ? (has(self[11].matches) ? self[11].matches.size() : 0) : 0) + (self.size() > 12 ? (has(self[12].matches) ? self[12].matches.size() : 0) : 0) + (self.size() > 13 ? (has(self[13].matches) ? self[13].matches.size() : 0) : 0) + (self.size() > 14 ? (has(self[14].matches) ? self[14].matches.size() : 0) : 0) + (self.size() > 15 ? (has(self[15].matches) ? self[15].matches.size() : 0) : 0) <= 128',
          ],
        ],
      },
    ),
  }),
  status: routeStatus,
  required: ['spec'],
});

/** Leads TLS connections of a Gateway to Services, by the name that the client asks for. */
export const tlsRoutes = definition({
  kind: 'TLSRoute',
  plural: 'tlsroutes',
  scope: 'Namespaced',
  doc: 'Leads TLS connections of a Gateway to Services, by the name that the client asks for.',
  versions: ['v1'],
  stored: 'v1',
  columns: [['Age', '.metadata.creationTimestamp', 'date']],
  spec: object(
    {
      hostnames: list(hostname, {
        maxItems: 1024,
        minItems: 1,
        listType: 'atomic',
        rules: [
          ['Hostnames cannot contain an IP', 'self.all(h, !isIP(h))'],
          [
            'Hostnames must be valid based on RFC-1123',
            "self.all(h, !h.contains('*') ? h.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$') : true)",
          ],
          [
            'Wildcards on hostnames must be the first label, and the rest of hostname must be valid based on RFC-1123',
            "self.all(h, h.contains('*') ? (h.startsWith('*.') && h.substring(2).matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$')) : true)",
          ],
        ],
      }),
      parentRefs: parentReferences,
      rules: list(
        object(
          {
            backendRefs: list(
              object(
                {
                  group: coreGroup,
                  kind: serviceKind,
                  name: text({ max: 253, min: 1 }),
                  namespace: namespaceName,
                  port: integer({ format: 'int32', maximum: 65535, minimum: 1 }),
                  weight: integer({ default: 1, format: 'int32', maximum: 1000000, minimum: 0 }),
                },
                ['name'],
                {
                  rules: [
                    [
                      'Must have port for Service reference',
                      "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true",
                    ],
                  ],
                },
              ),
              { maxItems: 16, minItems: 1, listType: 'atomic' },
            ),
            name: sectionName,
          },
          ['backendRefs'],
        ),
        { maxItems: 1, minItems: 1, listType: 'atomic' },
      ),
    },
    ['hostnames', 'rules'],
  ),
  status: routeStatus,
  required: ['spec'],
});

/** Lets objects of other namespaces refer to objects of this one. */
export const referenceGrants = definition({
  kind: 'ReferenceGrant',
  plural: 'referencegrants',
  shortNames: ['refgrant'],
  scope: 'Namespaced',
  doc: 'Lets objects of other namespaces refer to objects of this one.',
  versions: ['v1', 'v1beta1'],
  stored: 'v1beta1',
  columns: [['Age', '.metadata.creationTimestamp', 'date']],
  spec: object(
    {
      from: list(
        object({ group: groupName, kind: kindName, namespace: namespaceName }, ['group', 'kind', 'namespace']),
        { maxItems: 16, minItems: 1, listType: 'atomic' },
      ),
      to: list(object({ group: groupName, kind: kindName, name: text({ max: 253, min: 1 }) }, ['group', 'kind']), {
        maxItems: 16,
        minItems: 1,
        listType: 'atomic',
      }),
    },
    ['from', 'to'],
  ),
  required: ['spec'],
});

/** How the way to a Service is encrypted and whose certificates are believed there. */
export const backendTlsPolicies = definition({
  kind: 'BackendTLSPolicy',
  plural: 'backendtlspolicies',
  shortNames: ['btlspolicy'],
  scope: 'Namespaced',
  doc: 'How the way to a Service is encrypted and whose certificates are believed there.',
  versions: ['v1'],
  stored: 'v1',
  labels: { 'gateway.networking.k8s.io/policy': 'Direct' },
  columns: [['Age', '.metadata.creationTimestamp', 'date']],
  spec: object(
    {
      options: tlsOptions,
      targetRefs: list(
        object({ group: groupName, kind: kindName, name: text({ max: 253, min: 1 }), sectionName: sectionName }, [
          'group',
          'kind',
          'name',
        ]),
        {
          maxItems: 16,
          minItems: 1,
          listType: 'atomic',
          rules: [
            [
              'sectionName must be specified when targetRefs includes 2 or more references to the same target',
              "self.all(p1, self.all(p2, p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name ? ((!has(p1.sectionName) || p1.sectionName == '') == (!has(p2.sectionName) || p2.sectionName == '')) : true))",
            ],
            [
              'sectionName must be unique when targetRefs includes 2 or more references to the same target',
              "self.all(p1, self.exists_one(p2, p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name && (((!has(p1.sectionName) || p1.sectionName == '') && (!has(p2.sectionName) || p2.sectionName == '')) || (has(p1.sectionName) && has(p2.sectionName) && p1.sectionName == p2.sectionName))))",
            ],
          ],
        },
      ),
      validation: object(
        {
          caCertificateRefs: list(localReference, { maxItems: 8, listType: 'atomic' }),
          hostname: sectionName,
          subjectAltNames: list(
            object(
              {
                hostname: hostname,
                type: text({ enum: ['Hostname', 'URI'] }),
                uri: text({ max: 253, min: 1, pattern: '^(([^:/?#]+):)(//([^/?#]*))([^?#]*)(\\?([^#]*))?(#(.*))?' }),
              },
              ['type'],
              {
                rules: [
                  [
                    'SubjectAltName element must contain Hostname, if Type is set to Hostname',
                    '!(self.type == "Hostname" && (!has(self.hostname) || self.hostname == ""))',
                  ],
                  [
                    'SubjectAltName element must not contain Hostname, if Type is not set to Hostname',
                    '!(self.type != "Hostname" && has(self.hostname) && self.hostname != "")',
                  ],
                  [
                    'SubjectAltName element must contain URI, if Type is set to URI',
                    '!(self.type == "URI" && (!has(self.uri) || self.uri == ""))',
                  ],
                  [
                    'SubjectAltName element must not contain URI, if Type is not set to URI',
                    '!(self.type != "URI" && has(self.uri) && self.uri != "")',
                  ],
                ],
              },
            ),
            { maxItems: 5, listType: 'atomic' },
          ),
          wellKnownCACertificates: text({
            max: 253,
            min: 1,
            pattern:
              '^(System|([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]))$',
          }),
        },
        ['hostname'],
        {
          rules: [
            [
              'must not contain both CACertificateRefs and WellKnownCACertificates',
              '!(has(self.caCertificateRefs) && size(self.caCertificateRefs) > 0 && has(self.wellKnownCACertificates) && self.wellKnownCACertificates != "")',
            ],
            [
              'must specify either CACertificateRefs or WellKnownCACertificates',
              '(has(self.caCertificateRefs) && size(self.caCertificateRefs) > 0 || has(self.wellKnownCACertificates) && self.wellKnownCACertificates != "")',
            ],
          ],
        },
      ),
    },
    ['targetRefs', 'validation'],
  ),
  status: object(
    {
      ancestors: list(
        object({ ancestorRef: parentReference, conditions: routeConditions, controllerName: controllerName }, [
          'ancestorRef',
          'conditions',
          'controllerName',
        ]),
        { maxItems: 16, listType: 'atomic' },
      ),
    },
    ['ancestors'],
  ),
  required: ['spec'],
});

/** A part of an OpenAPI v3 schema. */
type Schema = Readonly<Record<string, unknown>>;

interface More extends Readonly<Record<string, unknown>> {
  /** Message and CEL expression of each. */
  readonly rules?: readonly (readonly [message: string, rule: string])[];
  readonly min?: number;
  readonly max?: number;
  readonly listType?: string;
  readonly keys?: readonly string[];
  readonly mapType?: string;
}

/** A fragment in the words of a CustomResourceDefinition. */
function schema(type: string, { rules, min, max, listType, keys, mapType, ...others }: More): Schema {
  return {
    type,
    ...others,
    ...(min !== undefined && { minLength: min }),
    ...(max !== undefined && { maxLength: max }),
    ...(listType !== undefined && { 'x-kubernetes-list-type': listType }),
    ...(keys !== undefined && { 'x-kubernetes-list-map-keys': keys }),
    ...(mapType !== undefined && { 'x-kubernetes-map-type': mapType }),
    ...(rules !== undefined && {
      'x-kubernetes-validations': rules.map(([message, rule]) => ({ message, rule })),
    }),
  };
}

function object(
  properties: Readonly<Record<string, Schema>>,
  required: readonly string[] = [],
  more: More = {},
): Schema {
  return schema('object', { ...(required.length > 0 && { required }), properties, ...more });
}

function dictionary(additionalProperties: Schema, more: More = {}): Schema {
  return schema('object', { additionalProperties, ...more });
}

function list(items: Schema, more: More = {}): Schema {
  return schema('array', { items, ...more });
}

function text(more: More = {}): Schema {
  return schema('string', more);
}

function integer(more: More = {}): Schema {
  return schema('integer', more);
}

function definition(of: {
  readonly kind: string;
  readonly plural: string;
  readonly shortNames?: readonly string[];
  readonly scope: 'Cluster' | 'Namespaced';
  readonly doc: string;
  readonly versions: readonly string[];
  readonly stored: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly columns: readonly (readonly [name: string, path: string, type?: string, priority?: number])[];
  readonly spec: Schema;
  readonly status?: Schema;
  readonly required?: readonly string[];
}): Definition {
  const openAPIV3Schema = {
    type: 'object',
    description: of.doc,
    ...(of.required && { required: of.required }),
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
      spec: of.spec,
      ...(of.status && { status: of.status }),
    },
  };
  const additionalPrinterColumns = of.columns.map(([name, jsonPath, type = 'string', priority]) => ({
    name,
    jsonPath,
    type,
    ...(priority !== undefined && { priority }),
  }));
  return {
    metadata: {
      name: `${of.plural}.${gatewayGroup}`,
      annotations: {
        // Upstream's approval of this API; without it the server would not take a group of this name.
        'api-approved.kubernetes.io': 'https://github.com/kubernetes-sigs/gateway-api/pull/4530',
        'gateway.networking.k8s.io/bundle-version': bundleVersion,
        'gateway.networking.k8s.io/channel': 'standard',
      },
      ...(of.labels && { labels: of.labels }),
    },
    spec: {
      group: gatewayGroup,
      scope: of.scope,
      names: {
        kind: of.kind,
        listKind: `${of.kind}List`,
        plural: of.plural,
        singular: of.kind.toLowerCase(),
        categories: ['gateway-api'],
        ...(of.shortNames && { shortNames: of.shortNames }),
      },
      versions: of.versions.map(name => ({
        name,
        served: true,
        storage: name === of.stored,
        ...(of.status && { subresources: { status: {} } }),
        ...(additionalPrinterColumns.length > 0 && { additionalPrinterColumns }),
        schema: { openAPIV3Schema },
      })),
    },
  } as unknown as Definition;
}
