import { boolean, duration, type ComponentArguments, type ComponentFlag } from './component.ts';

/** The flags of upstream's cluster-autoscaler that `--cluster-autoscaler-arg NAME=VALUE` takes: see kube-apiserver.ts. */
export const clusterAutoscalerFlags = {
  nodes: nodeGroups(
    'a group of simulated nodes with its smallest and largest size; the autoscaler runs where there is one',
  ),
  'hollow-shape': hollowShapes(
    'capacity of the nodes of a group (cpu, memory, …), and labels (with a slash or any other name)',
  ),
  'scale-down-enabled': boolean('whether nodes that nobody needs go (default true)'),
  'scale-down-unneeded-time': duration('how long a node has to be unneeded before it goes (default 10m)'),
  'scale-down-unready-time': duration('the same for nodes that are not ready (default 20m)'),
  'scale-down-delay-after-add': duration('how long no node goes after one came (default 10m)'),
  'scale-down-delay-after-delete': duration('how long no node goes after one went (default 0s)'),
  'scale-down-delay-after-failure': duration('how long no node goes after that failed (default 3m)'),
  'scale-down-utilization-threshold': share('nodes of which more is asked for stay (default 0.5)'),
  'scan-interval': duration('how often the cluster is looked at (default 10s)'),
  'max-node-provision-time': duration('how long a node may take to come (default 15m)'),
  'skip-nodes-with-local-storage': boolean('nodes with pods that have local storage stay (default true)'),
  'skip-nodes-with-system-pods': boolean('nodes with pods of kube-system without a budget stay (default true)'),
};

export type ClusterAutoscalerArguments = ComponentArguments<typeof clusterAutoscalerFlags>;

export interface NodeGroupFlag {
  readonly name: string;
  readonly minSize: number;
  readonly maxSize: number;
}

const sizeMax = 1_000;

function nodeGroups(does: string): ComponentFlag<readonly NodeGroupFlag[]> {
  return {
    does,
    value: 'MIN:MAX:NAME',
    parse(given) {
      const [, min = '', max = '', name = ''] = /^(\d+):(\d+):([a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?)$/.exec(given) ?? [];
      if (name === '') throw new Error(`takes MIN:MAX:NAME, as in 0:5:small, not ${JSON.stringify(given)}`);
      const [minSize, maxSize] = [Number(min), Number(max)];
      if (minSize > maxSize) throw new Error(`has a smallest size over its largest: ${given}`);
      if (maxSize > sizeMax) throw new Error(`takes ${sizeMax} nodes in a group at most, not ${maxSize}`);
      return [{ name, minSize, maxSize }];
    },
    merge: (before, next) => [...before.filter(each => !next.some(({ name }) => name === each.name)), ...next],
  };
}

export interface HollowShapeFlag {
  readonly name: string;
  readonly capacity: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
}

const amounts = new Set(['cpu', 'memory', 'ephemeral-storage', 'pods']);

function hollowShapes(does: string): ComponentFlag<readonly HollowShapeFlag[]> {
  return {
    does,
    value: 'NAME:cpu=4,memory=16Gi,…',
    parse(given) {
      const at = given.indexOf(':');
      const pairs = given
        .slice(at + 1)
        .split(',')
        .map(each => each.split('=') as [string, string?]);
      if (at < 1 || pairs.some(([key, value]) => key === '' || value === undefined))
        throw new Error(`takes NAME:cpu=4,memory=16Gi,…, not ${JSON.stringify(given)}`);
      const isAmount = ([key]: readonly [string, string?]) => amounts.has(key) || key.startsWith('example.com/');
      return [
        {
          name: given.slice(0, at),
          capacity: Object.fromEntries(pairs.filter(isAmount)) as Record<string, string>,
          labels: Object.fromEntries(pairs.filter(each => !isAmount(each))) as Record<string, string>,
        },
      ];
    },
    merge: (before, next) => [...before, ...next],
  };
}

function share(does: string): ComponentFlag<number> {
  return {
    does,
    value: '0..1',
    parse(given) {
      const value = Number(given);
      if (given === '' || !(value >= 0 && value <= 1))
        throw new Error(`takes a number from 0 to 1, not ${JSON.stringify(given)}`);
      return value;
    },
  };
}
