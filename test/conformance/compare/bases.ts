import { resourceNameOf, type Kind } from '#api/machinery/kind.ts';
import { seededRandom } from '#base/random.ts';
import { specimens } from '../../simulation/specimens.ts';

type Body = Readonly<Record<string, unknown>>;

const labels = { app: 'web' };
const selector = { matchLabels: labels };
const expression = { key: 'app', operator: 'In', values: ['web', 'other'] };

const container = {
  name: 'main',
  image: 'registry.example/main:1',
  command: ['/bin/main'],
  workingDir: '/work',
  env: [
    { name: 'PLAIN', value: 'x' },
    { name: 'FIELD', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
    { name: 'RESOURCE', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Mi' } } },
    { name: 'SECRET', valueFrom: { secretKeyRef: { name: 'some', key: 'key' } } },
  ],
  envFrom: [{ prefix: 'C_', configMapRef: { name: 'some', optional: true } }],
  ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }],
  resources: { requests: { cpu: '100m', memory: '64Mi' }, limits: { cpu: '200m', memory: '128Mi' } },
  volumeMounts: [{ name: 'empty', mountPath: '/empty', subPath: 'a/b' }],
  livenessProbe: { httpGet: { path: '/', port: 'http' }, periodSeconds: 5 },
  readinessProbe: { tcpSocket: { port: 8080 } },
  startupProbe: { grpc: { port: 8080 } },
  lifecycle: { preStop: { sleep: { seconds: 1 } }, postStart: { exec: { command: ['true'] } } },
  securityContext: { runAsUser: 1000, capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] } },
};

const volumes = [
  { name: 'empty', emptyDir: { sizeLimit: '10Mi' } },
  { name: 'config', configMap: { name: 'some', items: [{ key: 'key', path: 'a/b', mode: 256 }] } },
  { name: 'secret', secret: { secretName: 'some', defaultMode: 256 } },
  { name: 'host', hostPath: { path: '/host', type: 'Directory' } },
  { name: 'down', downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
  {
    name: 'projected',
    projected: { sources: [{ serviceAccountToken: { path: 'token', audience: 'somebody', expirationSeconds: 3600 } }] },
  },
  { name: 'claim', persistentVolumeClaim: { claimName: 'some' } },
];

const plainPod = { containers: [{ name: 'main', image: 'image:1' }] };
const template = { metadata: { labels }, spec: plainPod };
const onceTemplate = { metadata: { labels }, spec: { ...plainPod, restartPolicy: 'Never' } };
const nodeTerm = { matchExpressions: [{ key: 'zone', operator: 'In', values: ['a'] }] };
const podTerm = { topologyKey: 'zone', labelSelector: { matchExpressions: [expression] } };

const volumeOf = (source: Body): Body => ({
  spec: {
    capacity: { storage: '1Gi' },
    accessModes: ['ReadWriteOnce'],
    persistentVolumeReclaimPolicy: 'Retain',
    storageClassName: 'slow',
    ...source,
  },
});

/** Objects with much in them, for kinds whose rules only show on such; of all others there are `specimens`. */
const rich: Readonly<Record<string, (name: string, namespace: string) => readonly Body[]>> = {
  pods: () => [
    {
      spec: {
        serviceAccountName: 'default',
        containers: [container],
        initContainers: [
          { name: 'first', image: 'image:1' },
          { name: 'beside', image: 'image:1', restartPolicy: 'Always' },
        ],
        volumes,
        hostname: 'host',
        subdomain: 'sub',
        nodeSelector: { zone: 'a' },
        tolerations: [{ key: 'a', operator: 'Equal', value: 'b', effect: 'NoExecute', tolerationSeconds: 10 }],
        securityContext: { fsGroup: 1000, sysctls: [{ name: 'kernel.shm_rmid_forced', value: '1' }] },
        dnsConfig: { nameservers: ['10.0.0.10'], searches: ['example.com'], options: [{ name: 'ndots', value: '2' }] },
        hostAliases: [{ ip: '10.0.0.1', hostnames: ['a.example'] }],
        readinessGates: [{ conditionType: 'example.com/ready' }],
        topologySpreadConstraints: [
          { maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule', labelSelector: selector },
        ],
        affinity: {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [nodeTerm] },
            preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, preference: nodeTerm }],
          },
          podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [podTerm] },
          podAntiAffinity: {
            preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 1, podAffinityTerm: podTerm }],
          },
        },
      },
    },
    { spec: plainPod },
  ],
  nodes: () => [
    {
      spec: {
        podCIDR: '10.9.0.0/24',
        podCIDRs: ['10.9.0.0/24'],
        taints: [{ key: 'a', value: 'b', effect: 'NoSchedule' }],
      },
    },
  ],
  namespaces: () => [{}],
  services: () => [
    {
      spec: {
        type: 'NodePort',
        selector: labels,
        sessionAffinity: 'ClientIP',
        sessionAffinityConfig: { clientIP: { timeoutSeconds: 100 } },
        externalTrafficPolicy: 'Local',
        externalIPs: ['198.51.100.7'],
        ports: [
          { name: 'http', port: 80, targetPort: 8080, nodePort: 30_123 },
          { name: 'dns', port: 53, targetPort: 'dns', protocol: 'UDP' },
        ],
      },
    },
    { spec: { type: 'ExternalName', externalName: 'a.example' } },
    { spec: { selector: labels, ports: [{ port: 80 }] } },
    { spec: { type: 'LoadBalancer', loadBalancerSourceRanges: ['10.0.0.0/8'], ports: [{ port: 80 }] } },
    { spec: { clusterIP: 'None', ports: [{ port: 80 }] } },
  ],
  secrets: () => [
    { data: { key: 'dg==' }, stringData: { other: 'text' } },
    { type: 'kubernetes.io/tls', data: { 'tls.crt': 'dg==', 'tls.key': 'dg==' } },
    { type: 'kubernetes.io/dockerconfigjson', data: { '.dockerconfigjson': 'e30=' } },
    { type: 'kubernetes.io/basic-auth', stringData: { username: 'a', password: 'b' } },
    { type: 'kubernetes.io/ssh-auth', stringData: { 'ssh-privatekey': 'a' } },
  ],
  configmaps: () => [{ data: { key: 'value' }, binaryData: { bytes: 'AAEC' } }],
  persistentvolumes: (_, namespace) => [
    volumeOf({ hostPath: { path: '/volume' } }),
    volumeOf({
      csi: { driver: 'csi.example', volumeHandle: 'one', fsType: 'ext4', volumeAttributes: { a: 'b' } },
      claimRef: { namespace, name: 'claim' },
    }),
    volumeOf({
      local: { path: '/disk' },
      nodeAffinity: { required: { nodeSelectorTerms: [nodeTerm] } },
      volumeMode: 'Block',
    }),
    volumeOf({ nfs: { server: 'nfs.example', path: '/export' }, mountOptions: ['ro'] }),
  ],
  persistentvolumeclaims: () => [
    {
      spec: {
        accessModes: ['ReadWriteOnce'],
        volumeMode: 'Filesystem',
        storageClassName: 'slow',
        selector,
        dataSource: { apiGroup: 'snapshot.storage.k8s.io', kind: 'VolumeSnapshot', name: 'one' },
        resources: { requests: { storage: '1Gi' }, limits: { storage: '2Gi' } },
      },
    },
  ],
  limitranges: () => [
    {
      spec: {
        limits: [
          {
            type: 'Container',
            max: { cpu: '2' },
            min: { cpu: '100m' },
            default: { cpu: '1' },
            defaultRequest: { cpu: '500m' },
            maxLimitRequestRatio: { cpu: '4' },
          },
          { type: 'PersistentVolumeClaim', max: { storage: '2Gi' }, min: { storage: '1Gi' } },
        ],
      },
    },
  ],
  resourcequotas: () => [
    { spec: { hard: { pods: '10', 'requests.cpu': '1' } } },
    {
      spec: {
        hard: { pods: '10' },
        scopes: ['NotTerminating'],
        scopeSelector: {
          matchExpressions: [{ scopeName: 'PriorityClass', operator: 'In', values: ['high'] }],
        },
      },
    },
  ],
  serviceaccounts: () => [
    { automountServiceAccountToken: false, imagePullSecrets: [{ name: 'pull' }], secrets: [{ name: 'some' }] },
  ],
  endpoints: () => [
    {
      subsets: [
        {
          addresses: [{ ip: '10.1.0.1', hostname: 'a', nodeName: 'n', targetRef: { kind: 'Pod', name: 'p' } }],
          notReadyAddresses: [{ ip: '10.1.0.2' }],
          ports: [{ name: 'http', port: 80, protocol: 'TCP', appProtocol: 'http' }],
        },
      ],
    },
  ],
  events: (_, namespace) => [
    {
      involvedObject: { kind: 'Pod', namespace, name: 'nothing', uid: 'u', fieldPath: 'spec' },
      reason: 'Reason',
      message: 'text',
      source: { component: 'c', host: 'h' },
      count: 1,
      type: 'Normal',
    },
  ],
  'events.events.k8s.io': (_, namespace) => [
    {
      regarding: { kind: 'Pod', namespace, name: 'nothing' },
      reason: 'Reason',
      action: 'Acted',
      note: 'text',
      type: 'Normal',
      eventTime: '2026-01-02T03:04:05.000006Z',
      reportingController: 'example.com/c',
      reportingInstance: 'c-1',
    },
  ],
  replicationcontrollers: () => [{ spec: { replicas: 1, minReadySeconds: 1, selector: labels, template } }],
  'deployments.apps': () => [
    {
      spec: {
        replicas: 2,
        minReadySeconds: 1,
        revisionHistoryLimit: 3,
        progressDeadlineSeconds: 100,
        selector: { matchLabels: labels, matchExpressions: [expression] },
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: '25%' } },
        template,
      },
    },
  ],
  'replicasets.apps': () => [{ spec: { replicas: 2, minReadySeconds: 1, selector, template } }],
  'daemonsets.apps': () => [
    {
      spec: {
        selector,
        template,
        minReadySeconds: 1,
        updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } },
      },
    },
  ],
  'statefulsets.apps': () => [
    {
      spec: {
        serviceName: 'web',
        replicas: 2,
        podManagementPolicy: 'Parallel',
        updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 1 } },
        persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Delete', whenScaled: 'Retain' },
        ordinals: { start: 1 },
        selector,
        template,
        volumeClaimTemplates: [
          {
            metadata: { name: 'data' },
            spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
          },
        ],
      },
    },
  ],
  'jobs.batch': () => [
    {
      spec: {
        parallelism: 2,
        completions: 4,
        completionMode: 'Indexed',
        backoffLimitPerIndex: 1,
        maxFailedIndexes: 2,
        activeDeadlineSeconds: 100,
        ttlSecondsAfterFinished: 10,
        // A replacement has to say what the server would give, which is another for every job.
        manualSelector: true,
        selector,
        podFailurePolicy: {
          rules: [
            { action: 'FailJob', onExitCodes: { containerName: 'main', operator: 'In', values: [1, 2] } },
            { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
          ],
        },
        successPolicy: { rules: [{ succeededIndexes: '0-1', succeededCount: 1 }] },
        template: onceTemplate,
      },
    },
    { spec: { backoffLimit: 2, template: onceTemplate } },
  ],
  'cronjobs.batch': () => [
    {
      spec: {
        schedule: '*/5 * * * *',
        timeZone: 'Europe/Berlin',
        startingDeadlineSeconds: 10,
        concurrencyPolicy: 'Forbid',
        successfulJobsHistoryLimit: 1,
        failedJobsHistoryLimit: 1,
        jobTemplate: { metadata: { labels }, spec: { template: onceTemplate } },
      },
    },
  ],
  'horizontalpodautoscalers.autoscaling': () => [
    {
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
        minReplicas: 1,
        maxReplicas: 5,
        metrics: [
          { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } },
          {
            type: 'Pods',
            pods: { metric: { name: 'm', selector }, target: { type: 'AverageValue', averageValue: '1' } },
          },
          {
            type: 'Object',
            object: {
              describedObject: { apiVersion: 'v1', kind: 'Service', name: 's' },
              metric: { name: 'm' },
              target: { type: 'Value', value: '1' },
            },
          },
          { type: 'External', external: { metric: { name: 'm' }, target: { type: 'Value', value: '1' } } },
          {
            type: 'ContainerResource',
            containerResource: { name: 'cpu', container: 'main', target: { type: 'AverageValue', averageValue: '1' } },
          },
        ],
        behavior: {
          scaleUp: { stabilizationWindowSeconds: 1, policies: [{ type: 'Pods', value: 1, periodSeconds: 60 }] },
          scaleDown: { selectPolicy: 'Min', policies: [{ type: 'Percent', value: 10, periodSeconds: 60 }] },
        },
      },
    },
  ],
  'horizontalpodautoscalers.autoscaling/v1': () => [
    {
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
        minReplicas: 1,
        maxReplicas: 5,
        targetCPUUtilizationPercentage: 50,
      },
    },
  ],
  'poddisruptionbudgets.policy': () => [
    { spec: { minAvailable: 1, selector, unhealthyPodEvictionPolicy: 'AlwaysAllow' } },
    { spec: { maxUnavailable: '50%', selector } },
  ],
  'ingresses.networking.k8s.io': () => [
    {
      spec: {
        ingressClassName: 'some',
        defaultBackend: { service: { name: 'web', port: { number: 80 } } },
        tls: [{ hosts: ['a.example'], secretName: 'some' }],
        rules: [
          {
            host: '*.a.example',
            http: {
              paths: [
                { path: '/a', pathType: 'Prefix', backend: { service: { name: 'web', port: { name: 'http' } } } },
                {
                  path: '/b',
                  pathType: 'Exact',
                  backend: { resource: { apiGroup: 'example.com', kind: 'Bucket', name: 'b' } },
                },
              ],
            },
          },
        ],
      },
    },
  ],
  'ingressclasses.networking.k8s.io': () => [
    {
      spec: {
        controller: 'example.com/controller',
        parameters: { apiGroup: 'example.com', kind: 'Parameters', name: 'p', scope: 'Namespace', namespace: 'n' },
      },
    },
  ],
  'networkpolicies.networking.k8s.io': () => [
    {
      spec: {
        podSelector: selector,
        policyTypes: ['Ingress', 'Egress'],
        ingress: [
          {
            from: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }, { podSelector: selector }],
            ports: [{ protocol: 'TCP', port: 80, endPort: 90 }],
          },
        ],
        egress: [{ to: [{ namespaceSelector: selector }], ports: [{ protocol: 'UDP', port: 'dns' }] }],
      },
    },
  ],
  'roles.rbac.authorization.k8s.io': () => [
    { rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get'], resourceNames: ['one'] }] },
  ],
  'clusterroles.rbac.authorization.k8s.io': () => [
    { rules: [{ nonResourceURLs: ['/metrics'], verbs: ['get'] }] },
    { aggregationRule: { clusterRoleSelectors: [selector] } },
  ],
  'rolebindings.rbac.authorization.k8s.io': (_, namespace) => [
    {
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'some' },
      subjects: [
        { kind: 'ServiceAccount', name: 'a', namespace },
        { apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'b' },
      ],
    },
  ],
  'storageclasses.storage.k8s.io': () => [
    {
      provisioner: 'csi.example',
      parameters: { speed: 'high' },
      reclaimPolicy: 'Retain',
      mountOptions: ['ro'],
      allowVolumeExpansion: true,
      volumeBindingMode: 'WaitForFirstConsumer',
      allowedTopologies: [{ matchLabelExpressions: [{ key: 'zone', values: ['a'] }] }],
    },
  ],
  'csidrivers.storage.k8s.io': () => [
    {
      metadata: { name: 'csi.example' },
      spec: {
        attachRequired: true,
        podInfoOnMount: true,
        volumeLifecycleModes: ['Persistent'],
        tokenRequests: [{ audience: 'a', expirationSeconds: 3600 }],
        fsGroupPolicy: 'File',
      },
    },
  ],
  'csinodes.storage.k8s.io': () => [
    { spec: { drivers: [{ name: 'csi.example', nodeID: 'n', topologyKeys: ['zone'], allocatable: { count: 1 } }] } },
  ],
  'csistoragecapacities.storage.k8s.io': () => [
    { storageClassName: 'slow', capacity: '1Gi', maximumVolumeSize: '1Gi', nodeTopology: selector },
  ],
  'runtimeclasses.node.k8s.io': () => [
    {
      handler: 'runc',
      overhead: { podFixed: { cpu: '10m' } },
      scheduling: { nodeSelector: { a: 'b' }, tolerations: [{ key: 'a', operator: 'Exists' }] },
    },
  ],
  'endpointslices.discovery.k8s.io': () => [
    {
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 80, protocol: 'TCP', appProtocol: 'http' }],
      endpoints: [
        {
          addresses: ['10.1.0.1'],
          conditions: { ready: true },
          hostname: 'a',
          nodeName: 'n',
          zone: 'z',
          hints: { forZones: [{ name: 'z' }] },
          targetRef: { kind: 'Pod', name: 'p' },
        },
      ],
    },
  ],
  'leases.coordination.k8s.io': () => [
    {
      spec: {
        holderIdentity: 'me',
        leaseDurationSeconds: 10,
        leaseTransitions: 1,
        acquireTime: '2026-01-02T03:04:05.000006Z',
        renewTime: '2026-01-02T03:04:05.000006Z',
      },
    },
  ],
  'validatingadmissionpolicies.admissionregistration.k8s.io': () => [
    {
      spec: {
        failurePolicy: 'Fail',
        paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
        matchConstraints: {
          namespaceSelector: selector,
          objectSelector: selector,
          matchPolicy: 'Exact',
          resourceRules: [
            {
              apiGroups: ['example.com'],
              apiVersions: ['v1'],
              operations: ['CREATE', 'UPDATE'],
              resources: ['things', 'things/status'],
              resourceNames: ['one'],
              scope: 'Namespaced',
            },
          ],
        },
        matchConditions: [{ name: 'named', expression: 'object.metadata.name != "a"' }],
        variables: [{ name: 'named', expression: 'object.metadata.name' }],
        validations: [
          { expression: 'variables.named != "b"', message: 'no', reason: 'Invalid' },
          { expression: 'true', messageExpression: '"no: " + variables.named' },
        ],
        auditAnnotations: [{ key: 'name', valueExpression: 'string(variables.named)' }],
      },
    },
  ],
  'validatingadmissionpolicybindings.admissionregistration.k8s.io': (_, namespace) => [
    {
      spec: {
        policyName: 'some',
        paramRef: { name: 'p', namespace, parameterNotFoundAction: 'Deny' },
        matchResources: { namespaceSelector: selector },
        validationActions: ['Warn', 'Audit'],
      },
    },
  ],
  'mutatingwebhookconfigurations.admissionregistration.k8s.io': () => [{ webhooks: [webhook] }],
  'validatingwebhookconfigurations.admissionregistration.k8s.io': () => [{ webhooks: [webhook] }],
  'customresourcedefinitions.apiextensions.k8s.io': () => [
    {
      metadata: { name: 'things.example.com' },
      spec: {
        group: 'example.com',
        scope: 'Namespaced',
        names: {
          plural: 'things',
          singular: 'thing',
          kind: 'Thing',
          listKind: 'ThingList',
          shortNames: ['th'],
          categories: ['all'],
        },
        versions: [
          {
            name: 'v1',
            served: true,
            storage: true,
            subresources: {
              status: {},
              scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' },
            },
            additionalPrinterColumns: [{ name: 'R', type: 'integer', jsonPath: '.spec.replicas' }],
            schema: {
              openAPIV3Schema: {
                type: 'object',
                properties: {
                  spec: {
                    type: 'object',
                    required: ['replicas'],
                    properties: {
                      replicas: { type: 'integer', format: 'int32', minimum: 0, default: 1 },
                      mode: { type: 'string', enum: ['a', 'b'], maxLength: 1 },
                      items: {
                        type: 'array',
                        'x-kubernetes-list-type': 'map',
                        'x-kubernetes-list-map-keys': ['name'],
                        items: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
                      },
                    },
                    'x-kubernetes-validations': [{ rule: 'self.replicas < 10', message: 'too many' }],
                  },
                  status: { type: 'object', properties: { replicas: { type: 'integer' } } },
                },
              },
            },
          },
          { name: 'v1beta1', served: true, storage: false, schema: { openAPIV3Schema: { type: 'object' } } },
        ],
      },
    },
  ],
  'flowschemas.flowcontrol.apiserver.k8s.io': () => [
    {
      spec: {
        priorityLevelConfiguration: { name: 'workload-low' },
        matchingPrecedence: 9000,
        distinguisherMethod: { type: 'ByUser' },
        rules: [
          {
            subjects: [
              { kind: 'User', user: { name: 'nobody' } },
              { kind: 'Group', group: { name: 'nobodies' } },
              { kind: 'ServiceAccount', serviceAccount: { namespace: 'some', name: 'a' } },
            ],
            resourceRules: [{ verbs: ['get'], apiGroups: [''], resources: ['pods'], namespaces: ['*'] }],
            nonResourceRules: [{ verbs: ['get'], nonResourceURLs: ['/metrics'] }],
          },
        ],
      },
    },
  ],
  'prioritylevelconfigurations.flowcontrol.apiserver.k8s.io': () => [
    {
      spec: {
        type: 'Limited',
        limited: {
          nominalConcurrencyShares: 5,
          lendablePercent: 10,
          borrowingLimitPercent: 10,
          limitResponse: { type: 'Queue', queuing: { queues: 8, handSize: 2, queueLengthLimit: 10 } },
        },
      },
    },
  ],
  'priorityclasses.scheduling.k8s.io': () => [
    { value: 1000, globalDefault: false, description: 'd', preemptionPolicy: 'Never' },
  ],
  'resourceclaims.resource.k8s.io': () => [
    {
      spec: {
        devices: {
          requests: [
            {
              name: 'one',
              exactly: {
                deviceClassName: 'c.example',
                selectors: [{ cel: { expression: 'true' } }],
                allocationMode: 'ExactCount',
                count: 1,
                tolerations: [{ key: 'a', operator: 'Exists', effect: 'NoSchedule' }],
              },
            },
            { name: 'two', firstAvailable: [{ name: 'sub', deviceClassName: 'c.example' }] },
          ],
          constraints: [{ requests: ['one'], matchAttribute: 'example.com/a' }],
          config: [{ requests: ['one'], opaque: { driver: 'd.example', parameters: { a: 1 } } }],
        },
      },
    },
  ],
  'resourceslices.resource.k8s.io': name => [
    {
      spec: {
        driver: 'd.example',
        nodeName: 'n',
        pool: { name, generation: 1, resourceSliceCount: 1 },
        devices: [
          {
            name: 'one',
            attributes: { a: { string: 'b' }, n: { int: 1 }, v: { version: '1.2.3' } },
            capacity: { memory: { value: '1Gi' } },
          },
        ],
      },
    },
  ],
  'deviceclasses.resource.k8s.io': () => [
    {
      spec: {
        selectors: [{ cel: { expression: 'device.driver == "d.example"' } }],
        config: [{ opaque: { driver: 'd.example', parameters: { a: 1 } } }],
      },
    },
  ],
  'subjectaccessreviews.authorization.k8s.io': () => [
    { spec: { user: 'u', groups: ['g'], resourceAttributes: { verb: 'get', resource: 'pods', namespace: 'some' } } },
    { spec: { user: 'u', nonResourceAttributes: { verb: 'get', path: '/metrics' } } },
  ],
  'localsubjectaccessreviews.authorization.k8s.io': (_, namespace) => [
    { spec: { user: 'u', resourceAttributes: { verb: 'get', resource: 'pods', namespace } } },
  ],
  'selfsubjectaccessreviews.authorization.k8s.io': () => [
    { spec: { resourceAttributes: { verb: 'get', resource: 'pods', namespace: 'some' } } },
  ],
  'selfsubjectrulesreviews.authorization.k8s.io': () => [{ spec: { namespace: 'some' } }],
  'tokenreviews.authentication.k8s.io': () => [{ spec: { token: 'none', audiences: ['a'] } }],
  'selfsubjectreviews.authentication.k8s.io': () => [{}],
};

const webhook = {
  name: 'hook.example.com',
  clientConfig: { service: { name: 's', namespace: 'n', path: '/p', port: 443 } },
  rules: [
    {
      operations: ['CREATE'],
      apiGroups: ['example.com'],
      apiVersions: ['v1'],
      resources: ['things'],
      scope: 'Namespaced',
    },
  ],
  failurePolicy: 'Ignore',
  matchPolicy: 'Equivalent',
  namespaceSelector: selector,
  sideEffects: 'None',
  timeoutSeconds: 5,
  admissionReviewVersions: ['v1'],
  matchConditions: [{ name: 'named', expression: 'object.metadata.name != "a"' }],
};

/** Valid objects of a kind, without apiVersion and kind. */
export function bases(kind: Kind, name: string, namespace: string): readonly Body[] {
  const resource = resourceNameOf(kind);
  const known = rich[`${resource}/${kind.version}`] ?? rich[resource];
  if (known) return known(name, namespace);
  const specimen = specimens[resource]?.(seededRandom(1), name, namespace);
  return specimen ? [specimen] : [];
}
