import type { NodeInfo } from '../node-info.ts';
import type { Plugin } from '../plugin.ts';
import type { HostPort, PodInfo } from '../pod-info.ts';

const rejection = {
  plugin: 'NodePorts',
  reasons: ["node(s) didn't have free ports for the requested pod ports"],
  unresolvable: false,
};

export const nodePorts: Plugin = {
  name: 'NodePorts',
  filter: (pod, node) => (pod.hostPorts.some(port => node.usesPort(port)) ? rejection : undefined),
  explain(pod, node) {
    const taken = pod.hostPorts.filter(port => node.usesPort(port));
    return {
      details: taken.map(port => `host port ${port.port}/${port.protocol} is held by ${holderOf(port, node)}`),
      remedies: taken.map(port => ({
        change: `it did not want host port ${port.port}/${port.protocol}`,
        apply: trial => ({
          ...trial,
          pod: { ...trial.pod, hostPorts: trial.pod.hostPorts.filter(each => each !== port) },
        }),
      })),
    };
  },
};

function holderOf(port: HostPort, node: NodeInfo): string {
  const holds = (pod: PodInfo) =>
    pod.hostPorts.some(each => each.port === port.port && each.protocol === port.protocol);
  return [...node.pods.values()].find(holds)?.key ?? 'another pod';
}
