import type { NodeAffinity, TopologySpreadConstraint } from '#api/core/v1/pod-spec.ts';
import { isExtendedResource } from '#api/core/v1/pod-resources.ts';
import { parseGoDuration } from '#api/machinery/duration.ts';
import { Report } from '#api/machinery/validation.ts';
import type { ExtenderConfiguration, ExtenderTls } from './extenders.ts';
import type { ClusterPlugin, Plugin } from './plugin.ts';
import { defaultClusterPlugins, defaultPlugins } from './plugins.ts';
import { balancedAllocationWith } from './plugins/balanced-allocation.ts';
import { interPodAffinityWith } from './plugins/inter-pod-affinity.ts';
import { nodeAffinityWith } from './plugins/node-affinity.ts';
import { nodeResourcesFitWith } from './plugins/node-resources-fit.ts';
import { podTopologySpreadWith } from './plugins/pod-topology-spread.ts';
import { defaultPreemptionLimits, type PreemptionLimits } from './preemption.ts';
import type { ScoringStrategy, WeightedResource } from './plugins/scoring-strategy.ts';

/** One scheduler in the scheduler: pods choose it by `schedulerName`. */
export interface Profile {
  readonly schedulerName: string;
  readonly plugins: readonly Plugin[];
  readonly clusterPlugins: readonly ClusterPlugin[];
  /** DefaultPreemption is enabled. */
  readonly preempts: boolean;
  readonly preemptionLimits: PreemptionLimits;
  /** How many of the nodes that fit are compared, of a hundred; 0 means all. */
  readonly scoredPercentage: number;
  /** What the profile says of a plugin from a user's file. */
  ofUserPlugin(name: string): UserPluginChoice;
  /** How long volumes may take to be bound. */
  readonly volumesMsMax: number;
  /** How long devices may take to get ready for a node. */
  readonly devicesMsMax: number;
}

/** How a profile uses a plugin from a user's file. */
export interface UserPluginChoice {
  readonly filters: boolean;
  /** `undefined`: it does not score. */
  readonly weight: number | undefined;
  readonly args: unknown;
}

export interface SchedulerConfiguration {
  readonly extenders: readonly ExtenderConfiguration[];
  readonly profiles: readonly Profile[];
  readonly backoffInitialMs: number;
  readonly backoffMaxMs: number;
}

const defaultName = 'default-scheduler';
const volumesMsMax = 600_000;
const devicesMsMax = 600_000;

export const defaultConfiguration: SchedulerConfiguration = {
  extenders: [],
  profiles: [
    {
      schedulerName: defaultName,
      plugins: defaultPlugins,
      clusterPlugins: defaultClusterPlugins,
      preempts: true,
      preemptionLimits: defaultPreemptionLimits,
      scoredPercentage: 0,
      ofUserPlugin: () => ({ filters: true, weight: 1, args: undefined }),
      volumesMsMax,
      devicesMsMax,
    },
  ],
  backoffInitialMs: 1_000,
  backoffMaxMs: 10_000,
};

/** Plugins of upstream that are no filter and no score here; the queue, binding and preemption do what they do. */
const builtIn = ['SchedulingGates', 'PrioritySort', 'DefaultPreemption', 'DefaultBinder'];
const removed = ['AzureDiskLimits', 'CinderLimits', 'EBSLimits', 'GCEPDLimits'];
const version = 'kubescheduler.config.k8s.io/v1';
const points = [
  'preEnqueue',
  'queueSort',
  'preFilter',
  'filter',
  'postFilter',
  'preScore',
  'score',
  'reserve',
  'permit',
  'preBind',
  'bind',
  'postBind',
  'multiPoint',
] as const;
/** What a scheduler that looks at all nodes, and that others elect, has no use for: read, judged, and without effect. */
const withoutEffect = [
  'leaderElection',
  'clientConnection',
  'enableProfiling',
  'enableContentionProfiling',
  'parallelism',
  'delayCacheUntilActive',
];

type Fields = Readonly<Record<string, unknown>>;

/**
 * Reads a KubeSchedulerConfiguration. Throws all that is wrong with it, in upstream's words. With plugins from users' files
 * names that nobody knows may be theirs.
 */
export function schedulerConfigurationFrom(document: unknown, { hasUserPlugins = false } = {}): SchedulerConfiguration {
  const report = new Report();
  const fields = objectAt(report, document, [
    'apiVersion',
    'kind',
    'profiles',
    'podInitialBackoffSeconds',
    'podMaxBackoffSeconds',
    'extenders',
    'percentageOfNodesToScore',
    ...withoutEffect,
  ]);
  const { apiVersion = '', kind = '' } = fields;
  if (apiVersion !== version || kind !== 'KubeSchedulerConfiguration')
    throw new Error(
      `no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)}; known is KubeSchedulerConfiguration of ${version}`,
    );
  const parallelism = fields['parallelism'] ?? 16;
  if (!(Number(parallelism) > 0))
    report.at('parallelism').invalid(parallelism, 'should be an integer value greater than zero');
  validatePercentage(report.at('percentageOfNodesToScore'), fields['percentageOfNodesToScore']);
  const initialSeconds = Number(fields['podInitialBackoffSeconds'] ?? 1);
  const maxSeconds = Number(fields['podMaxBackoffSeconds'] ?? 10);
  if (!(initialSeconds > 0)) report.at('podInitialBackoffSeconds').invalid(initialSeconds, 'must be greater than 0');
  if (!(maxSeconds >= initialSeconds))
    report.at('podMaxBackoffSeconds').invalid(maxSeconds, 'must be greater than or equal to PodInitialBackoffSeconds');
  const extenders = extendersFrom(listOf(fields['extenders']), report.at('extenders'));
  const context = { hasUserPlugins, ignored: extenders.flatMap(each => each.ignored) };
  const given = fields['profiles'] === undefined ? [{}] : listOf(fields['profiles']);
  if (given.length === 0) report.at('profiles').required();
  const profiles = given.map((each, index) => ({
    scoredPercentage: Number(fields['percentageOfNodesToScore'] ?? 0),
    ...profileFrom(each, report.at('profiles').index(index), given.length > 1, context),
  }));
  for (const [index, { schedulerName }] of profiles.entries()) {
    const first = profiles.findIndex(each => each.schedulerName === schedulerName);
    if (first < index)
      report.at('profiles').index(index).at('schedulerName').duplicate(`profiles[${first}].schedulerName`);
  }
  throwIfAny(report);
  return {
    extenders: extenders.map(each => each.extender),
    profiles,
    backoffInitialMs: initialSeconds * 1000,
    backoffMaxMs: maxSeconds * 1000,
  };
}

function throwIfAny({ errors }: Report): void {
  const texts = errors.map(({ field, message }) => (field === '' ? message : `${field}: ${message}`));
  if (texts.length === 1) throw new Error(texts[0]);
  if (texts.length > 1) throw new Error(`[${texts.join(', ')}]`);
}

interface Context {
  /** Names of plugins that nobody knows may be those of users' files. */
  readonly hasUserPlugins: boolean;
  /** Resources that extenders count. */
  readonly ignored: readonly string[];
}

type ProfileFields = Omit<Profile, 'scoredPercentage'> & { readonly scoredPercentage?: number };

function profileFrom(given: unknown, report: Report, needsName: boolean, context: Context): ProfileFields {
  const fields = objectAt(report, given, ['schedulerName', 'percentageOfNodesToScore', 'plugins', 'pluginConfig']);
  const schedulerName = String(fields['schedulerName'] ?? (needsName ? '' : defaultName));
  if (schedulerName === '') report.at('schedulerName').required();
  validatePercentage(report.at('percentageOfNodesToScore'), fields['percentageOfNodesToScore']);
  const sets = objectAt(report.at('plugins'), fields['plugins'] ?? {}, points);
  const configured = configuredPlugins(listOf(fields['pluginConfig']), report.at('pluginConfig'), context);
  const choice = choose(sets, report.at('plugins'), context);
  const plugins = configured.plugins.flatMap(plugin => {
    const filters = choice.filters(plugin.name);
    const weight = choice.weight(plugin.name, plugin.weight);
    const { filter, explain, score, ...rest } = plugin;
    const chosen = {
      ...rest,
      ...(filters && filter && { filter }),
      ...(filters && explain && { explain }),
      ...(weight !== undefined && score && { score, weight }),
    };
    return chosen.filter || chosen.score ? chosen : [];
  });
  const clusterPlugins = configured.clusterPlugins.flatMap(plugin => {
    const filters = choice.filters(plugin.name);
    const weight = choice.weight(plugin.name, plugin.weight);
    if (!filters && weight === undefined) return [];
    if (filters && weight !== undefined) return { ...plugin, weight };
    return { ...plugin, weight: weight ?? 0, prepare: halved(plugin, filters) };
  });
  return {
    schedulerName,
    plugins,
    clusterPlugins,
    preempts: choice.enabled('DefaultPreemption', 'postFilter'),
    preemptionLimits: configured.preemptionLimits,
    ...(fields['percentageOfNodesToScore'] !== undefined && {
      scoredPercentage: Number(fields['percentageOfNodesToScore']),
    }),
    ofUserPlugin: name => ({
      filters: choice.filters(name),
      weight: choice.weight(name, undefined),
      args: configured.userArguments.get(name),
    }),
    volumesMsMax: configured.volumesMsMax,
    devicesMsMax: configured.devicesMsMax,
  };
}

/** Only the filter of a plugin, or only its score. */
function halved(plugin: ClusterPlugin, filters: boolean): ClusterPlugin['prepare'] {
  return (pod, cluster) => {
    const prepared = plugin.prepare(pod, cluster);
    if (!prepared) return undefined;
    const { everywhere, filter, explain, score, normalize } = prepared;
    return filters
      ? { ...(everywhere && { everywhere }), ...(filter && { filter }), ...(explain && { explain }) }
      : { ...(score && { score }), ...(normalize && { normalize }) };
  };
}

interface Choice {
  enabled(name: string, point: (typeof points)[number]): boolean;
  filters(name: string): boolean;
  /** `undefined`: it does not score. */
  weight(name: string, usual: number | undefined): number | undefined;
}

/** KEP-2891: `multiPoint` says what holds for all extension points, one of them says it for itself. */
function choose(sets: Fields, report: Report, { hasUserPlugins }: Context): Choice {
  const known = new Set([
    ...defaultPlugins.map(each => each.name),
    ...defaultClusterPlugins.map(each => each.name),
    ...builtIn,
  ]);
  const parsed = new Map(
    points.map(point => {
      const at = report.at(point);
      const set = objectAt(at, sets[point] ?? {}, ['enabled', 'disabled']);
      const enabled = new Map<string, number>();
      for (const [index, each] of listOf(set['enabled']).entries()) {
        const { name, weight } = objectAt(at.at('enabled').index(index), each, ['name', 'weight']);
        const text = String(name ?? '');
        if (removed.includes(text))
          at.at('enabled')
            .index(index)
            .invalid(
              text,
              `was invalid in version ${JSON.stringify(version)} (KubeSchedulerConfiguration is version ${JSON.stringify(version)})`,
            );
        else if (!known.has(text) && !hasUserPlugins)
          at.at('enabled')
            .index(index)
            .notSupported(text, [...known].toSorted());
        enabled.set(text, Number(weight ?? 0));
      }
      if (point === 'queueSort' && enabled.size > 1)
        at.at('Enabled').invalid(enabled.size, 'only one queue sort plugin can be enabled');
      const disabled = new Set(
        listOf(set['disabled']).map((each, index) =>
          String(objectAt(at.at('disabled').index(index), each, ['name', 'weight'])['name'] ?? ''),
        ),
      );
      return [point, { enabled, disabled }] as const;
    }),
  );
  const isEnabled = (name: string, point: (typeof points)[number]): boolean => {
    const own = parsed.get(point);
    if (own?.enabled.has(name)) return true;
    if (own?.disabled.has(name) || own?.disabled.has('*')) return false;
    const everywhere = parsed.get('multiPoint');
    if (everywhere?.enabled.has(name)) return true;
    return !(everywhere?.disabled.has(name) || everywhere?.disabled.has('*'));
  };
  return {
    enabled: isEnabled,
    // Upstream has two points, of which the first prepares the second; who turns off one cannot do the other.
    filters: name => isEnabled(name, 'preFilter') && isEnabled(name, 'filter'),
    weight(name, usual) {
      if (!isEnabled(name, 'preScore') || !isEnabled(name, 'score')) return undefined;
      return parsed.get('score')?.enabled.get(name) || parsed.get('multiPoint')?.enabled.get(name) || (usual ?? 1);
    },
  };
}

interface Configured {
  readonly plugins: readonly Plugin[];
  readonly clusterPlugins: readonly ClusterPlugin[];
  readonly volumesMsMax: number;
  readonly devicesMsMax: number;
  readonly preemptionLimits: PreemptionLimits;
  readonly userArguments: ReadonlyMap<string, unknown>;
}

function configuredPlugins(given: readonly unknown[], report: Report, context: Context): Configured {
  const seen = new Set<string>();
  const plugins = new Map<string, Plugin>();
  const clusterPlugins = new Map<string, ClusterPlugin>();
  let bindMs = volumesMsMax;
  let devicesMs = devicesMsMax;
  let preemptionLimits = defaultPreemptionLimits;
  const userArguments = new Map<string, unknown>();
  for (const [index, each] of given.entries()) {
    const at = report.index(index);
    const { name = '', args = {} } = objectAt(at, each, ['name', 'args']) as { name?: string; args?: unknown };
    if (seen.has(name)) at.duplicate(name);
    seen.add(name);
    const argsAt = at.at('args');
    switch (name) {
      case 'NodeResourcesFit':
        plugins.set(name, fitFrom(args, argsAt, context.ignored));
        break;
      case 'NodeResourcesBalancedAllocation':
        plugins.set(name, balancedFrom(args, argsAt));
        break;
      case 'NodeAffinity': {
        const { addedAffinity } = argumentsAt(argsAt, args, ['addedAffinity']);
        if (addedAffinity !== undefined) plugins.set(name, nodeAffinityWith(addedAffinity as NodeAffinity));
        break;
      }
      case 'PodTopologySpread':
        clusterPlugins.set(name, spreadFrom(args, argsAt));
        break;
      case 'InterPodAffinity': {
        const fields = argumentsAt(argsAt, args, ['hardPodAffinityWeight', 'ignorePreferredTermsOfExistingPods']);
        const weight = Number(fields['hardPodAffinityWeight'] ?? 1);
        if (!(weight >= 0 && weight <= 100))
          argsAt.at('hardPodAffinityWeight').invalid(weight, 'not in valid range [0, 100]');
        const ignorePreferredTermsOfExistingPods = fields['ignorePreferredTermsOfExistingPods'] === true;
        clusterPlugins.set(
          name,
          interPodAffinityWith({ hardPodAffinityWeight: weight, ignorePreferredTermsOfExistingPods }),
        );
        break;
      }
      case 'VolumeBinding': {
        const fields = argumentsAt(argsAt, args, ['bindTimeoutSeconds', 'shape']);
        const seconds = Number(fields['bindTimeoutSeconds'] ?? 600);
        if (!(seconds >= 0))
          argsAt
            .at('bindTimeoutSeconds')
            .invalid(seconds, 'invalid BindTimeoutSeconds, should not be a negative value');
        if (fields['shape'] !== undefined)
          argsAt
            .at('shape')
            .invalid(
              fields['shape'],
              'unexpected field `shape`, remove it or turn on the feature gate StorageCapacityScoring',
            );
        bindMs = seconds * 1000;
        break;
      }
      case 'DynamicResources': {
        const fields = argumentsAt(argsAt, args, ['filterTimeout', 'bindingTimeout']);
        // The search is limited by what it tries, not by the clock.
        durationMsAt(argsAt.at('filterTimeout'), fields['filterTimeout'] ?? '10s', 0);
        devicesMs = durationMsAt(argsAt.at('bindingTimeout'), fields['bindingTimeout'] ?? '600s', 1000);
        break;
      }
      case 'DefaultPreemption':
        preemptionLimits = preemptionFrom(args, argsAt);
        break;
      default:
        if (context.hasUserPlugins) {
          userArguments.set(name, args);
          break;
        }
        at.at('name').notSupported(name, [
          'DefaultPreemption',
          'DynamicResources',
          'InterPodAffinity',
          'NodeAffinity',
          'NodeResourcesBalancedAllocation',
          'NodeResourcesFit',
          'PodTopologySpread',
          'VolumeBinding',
        ]);
    }
  }
  // What extenders count is none of the scheduler's business.
  if (context.ignored.length > 0 && !plugins.has('NodeResourcesFit'))
    plugins.set('NodeResourcesFit', fitFrom({}, report, context.ignored));
  return {
    plugins: defaultPlugins.map(each => plugins.get(each.name) ?? each),
    clusterPlugins: defaultClusterPlugins.map(each => clusterPlugins.get(each.name) ?? each),
    volumesMsMax: bindMs,
    devicesMsMax: devicesMs,
    preemptionLimits,
    userArguments,
  };
}

function durationMsAt(report: Report, given: unknown, msMin: number): number {
  try {
    const ms = parseGoDuration(String(given));
    if (ms >= msMin) return ms;
    report.invalid(given, msMin > 0 ? `must be at least ${msMin / 1000} second` : 'must be zero or positive');
  } catch (error) {
    report.invalid(given, (error as Error).message);
  }
  return devicesMsMax;
}

function fitFrom(args: unknown, report: Report, ignored: readonly string[]): Plugin {
  const fields = argumentsAt(report, args, ['ignoredResources', 'ignoredResourceGroups', 'scoringStrategy']);
  const groups = listOf(fields['ignoredResourceGroups']).map(String);
  for (const [index, group] of groups.entries())
    if (group.includes('/'))
      report.at('ignoredResourceGroups').index(index).invalid(group, "resource group name can't contain '/'");
  return nodeResourcesFitWith({
    ignoredResources: [...listOf(fields['ignoredResources']).map(String), ...ignored],
    ignoredResourceGroups: groups,
    scoring: strategyFrom(fields['scoringStrategy'] ?? {}, report.at('scoringStrategy')),
  });
}

function strategyFrom(given: unknown, report: Report): ScoringStrategy {
  const fields = objectAt(report, given, ['type', 'resources', 'requestedToCapacityRatio']);
  const { type = 'LeastAllocated', requestedToCapacityRatio } = fields;
  const listed = listOf(fields['resources']);
  const resources = resourcesFrom(listed.length > 0 ? listed : [{ name: 'cpu' }, { name: 'memory' }], report);
  for (const [index, { name, weight }] of resources.entries())
    if (!(weight > 0 && weight <= 100))
      report
        .at('resources')
        .index(index)
        .at('weight')
        .invalid(weight, `resource weight of ${name} not in valid range (0, 100]`);
  if (type === 'RequestedToCapacityRatio') {
    const at = report.at('requestedToCapacityRatio');
    if (requestedToCapacityRatio === undefined) at.required('must be specified when type is RequestedToCapacityRatio');
    const { shape } = objectAt(at, requestedToCapacityRatio ?? {}, ['shape']);
    return { type, resources, shape: requestedToCapacityRatio === undefined ? [] : shapeFrom(shape, at.at('shape')) };
  }
  if (type !== 'LeastAllocated' && type !== 'MostAllocated') {
    report.at('type').notSupported(type, ['LeastAllocated', 'MostAllocated', 'RequestedToCapacityRatio']);
    return { type: 'LeastAllocated', resources };
  }
  if (requestedToCapacityRatio !== undefined)
    report.at('requestedToCapacityRatio').forbidden('must be nil when type is not RequestedToCapacityRatio');
  return { type, resources };
}

function shapeFrom(given: unknown, report: Report) {
  const shape = listOf(given).map((each, index) => {
    const { utilization, score } = objectAt(report.index(index), each, ['utilization', 'score']);
    return { utilization: Number(utilization ?? 0), score: Number(score ?? 0) };
  });
  if (shape.length === 0) report.required('at least one point must be specified');
  const unsorted = shape.findIndex(({ utilization }, index) => (shape[index - 1]?.utilization ?? -1) >= utilization);
  if (unsorted > 0)
    report
      .index(unsorted)
      .at('utilization')
      .invalid(shape[unsorted]?.utilization, 'values must be sorted in increasing order');
  for (const [index, { utilization, score }] of shape.entries()) {
    if (!(utilization >= 0 && utilization <= 100))
      report.index(index).at('utilization').invalid(utilization, 'not in valid range [0, 100]');
    if (!(score >= 0 && score <= 10)) report.index(index).at('score').invalid(score, 'not in valid range [0, 10]');
  }
  return shape;
}

function resourcesFrom(given: readonly unknown[], report: Report): readonly WeightedResource[] {
  return given.map((each, index) => {
    const { name, weight } = objectAt(report.at('resources').index(index), each, ['name', 'weight']);
    // Upstream reads an absent weight, and 0, as 1.
    return { name: String(name ?? ''), weight: Number(weight ?? 0) || 1 };
  });
}

function balancedFrom(args: unknown, report: Report): Plugin {
  const { resources } = argumentsAt(report, args, ['resources']);
  const listed = resourcesFrom(listOf(resources), report);
  for (const [index, { name, weight }] of listed.entries()) {
    const at = report.at('resources').index(index);
    if (listed.findIndex(each => each.name === name) < index) at.at('name').duplicate(name);
    if (weight !== 1) at.at('weight').invalid(weight, 'must be 1');
  }
  return balancedAllocationWith(listed.length > 0 ? listed.map(each => each.name) : ['cpu', 'memory']);
}

function spreadFrom(args: unknown, report: Report): ClusterPlugin {
  const fields = argumentsAt(report, args, ['defaultConstraints', 'defaultingType']);
  const constraints = listOf(fields['defaultConstraints']) as readonly TopologySpreadConstraint[];
  const type = fields['defaultingType'] ?? 'System';
  const at = report.at('defaultingType');
  if (type !== 'System' && type !== 'List') at.notSupported(type, ['System', 'List']);
  else if (type === 'System' && constraints.length > 0) at.invalid(type, 'when .defaultConstraints are not empty');
  for (const [index, { maxSkew, topologyKey, whenUnsatisfiable, labelSelector }] of constraints.entries()) {
    const own = report.at('defaultConstraints').index(index);
    if (!(maxSkew > 0)) own.at('maxSkew').invalid(maxSkew ?? 0, 'not in valid range (0, inf)');
    if (!topologyKey) own.at('topologyKey').required('can not be empty');
    if (!whenUnsatisfiable) own.at('whenUnsatisfiable').required('can not be empty');
    else if (!['DoNotSchedule', 'ScheduleAnyway'].includes(whenUnsatisfiable))
      own.at('whenUnsatisfiable').notSupported(whenUnsatisfiable, ['DoNotSchedule', 'ScheduleAnyway']);
    if (labelSelector !== undefined)
      own.at('labelSelector').forbidden('constraint must not define a selector, as they deduced for each pod');
    const first = constraints.findIndex(
      each => each.topologyKey === topologyKey && each.whenUnsatisfiable === whenUnsatisfiable,
    );
    if (first < index) own.duplicate(`{${topologyKey}, ${whenUnsatisfiable}}`);
  }
  return podTopologySpreadWith({ defaults: type === 'System' ? 'System' : constraints });
}

/** Every node is a candidate here, so there is nothing to configure; what is wrong is said all the same. */
function preemptionFrom(args: unknown, report: Report): PreemptionLimits {
  const fields = argumentsAt(report, args, ['minCandidateNodesPercentage', 'minCandidateNodesAbsolute']);
  const percentage = Number(fields['minCandidateNodesPercentage'] ?? 10);
  const absolute = Number(fields['minCandidateNodesAbsolute'] ?? 100);
  const [percentageAt, absoluteAt] = [report.at('minCandidateNodesPercentage'), report.at('minCandidateNodesAbsolute')];
  if (!(percentage >= 0 && percentage <= 100)) percentageAt.invalid(percentage, 'not in valid range [0, 100]');
  if (!(absolute >= 0)) absoluteAt.invalid(absolute, 'not in valid range [0, inf)');
  if (percentage === 0 && absolute === 0) {
    percentageAt.invalid(percentage, 'cannot be zero at the same time as minCandidateNodesAbsolute');
    absoluteAt.invalid(absolute, 'cannot be zero at the same time as minCandidateNodesPercentage');
  }
  return { percentage, absolute };
}

interface ExtenderWithResources {
  readonly extender: ExtenderConfiguration;
  readonly ignored: readonly string[];
}

const extenderFields = [
  'urlPrefix',
  'filterVerb',
  'preemptVerb',
  'prioritizeVerb',
  'weight',
  'bindVerb',
  'enableHTTPS',
  'tlsConfig',
  'httpTimeout',
  'nodeCacheCapable',
  'managedResources',
  'ignorable',
];
const extenderTimeoutMs = 5_000;

function extendersFrom(given: readonly unknown[], report: Report): readonly ExtenderWithResources[] {
  const binders = given.filter(each => Boolean((each as Fields | null)?.['bindVerb'])).length;
  if (binders > 1)
    report.invalid(`found ${binders} extenders implementing bind`, 'only one extender can implement bind');
  const managed = new Set<string>();
  return given.map((each, index) => {
    const at = report.index(index);
    const fields = objectAt(at, each, extenderFields);
    const textOf = (name: string) => String(fields[name] ?? '');
    const weight = Number(fields['weight'] ?? 0);
    if (textOf('prioritizeVerb') !== '' && !(weight > 0))
      at.at('weight').invalid(weight, 'must have a positive weight applied to it');
    if (textOf('urlPrefix') === '') at.at('urlPrefix').required();
    const resources = listOf(fields['managedResources']).map((resource, position) => {
      const resourceAt = at.at('managedResources').index(position);
      const { name = '', ignoredByScheduler } = objectAt(resourceAt, resource, ['name', 'ignoredByScheduler']);
      if (!isExtendedResource(String(name)))
        resourceAt.at('name').invalid(name, 'is an invalid extended resource name');
      if (managed.has(String(name)))
        resourceAt.at('name').invalid(name, `duplicate extender managed resource name ${name}`);
      managed.add(String(name));
      return { name: String(name), ignored: ignoredByScheduler === true };
    });
    const extender: ExtenderConfiguration = {
      urlPrefix: textOf('urlPrefix'),
      filterVerb: textOf('filterVerb'),
      prioritizeVerb: textOf('prioritizeVerb'),
      preemptVerb: textOf('preemptVerb'),
      bindVerb: textOf('bindVerb'),
      weight,
      timeoutMs: durationMsAt(at.at('httpTimeout'), fields['httpTimeout'] ?? '0s', 0) || extenderTimeoutMs,
      nodeCacheCapable: fields['nodeCacheCapable'] === true,
      ignorable: fields['ignorable'] === true,
      managedResources: resources.map(({ name }) => name),
      tls: fields['tlsConfig'] === undefined ? undefined : tlsFrom(fields['tlsConfig'], at.at('tlsConfig')),
    };
    return { extender, ignored: resources.flatMap(({ name, ignored }) => (ignored ? name : [])) };
  });
}

const tlsTexts = ['serverName', 'caFile', 'certFile', 'keyFile', 'caData', 'certData', 'keyData'] as const;

function tlsFrom(given: unknown, report: Report): ExtenderTls {
  const fields = objectAt(report, given, ['insecure', ...tlsTexts]);
  const texts = tlsTexts.flatMap(name => (fields[name] ? [[name, String(fields[name])]] : []));
  return { insecure: fields['insecure'] === true, ...Object.fromEntries(texts) };
}

function validatePercentage(report: Report, value: unknown): void {
  if (value === undefined || value === null) return;
  if (!(Number(value) >= 0 && Number(value) <= 100)) report.invalid(value, 'not in valid range [0-100]');
}

function argumentsAt(report: Report, value: unknown, names: readonly string[]): Fields {
  return objectAt(report, value, ['apiVersion', 'kind', ...names]);
}

/** Strictly: a field that nobody knows is a mistake. */
function objectAt(report: Report, value: unknown, names: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    report.typeInvalid(value, 'it is no object');
    return {};
  }
  for (const name of Object.keys(value))
    if (!names.includes(name))
      throw new Error(`strict decoding error: unknown field ${JSON.stringify(report.at(name).path)}`);
  return value as Fields;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
