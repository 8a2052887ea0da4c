import type { Plugin } from '../plugin.ts';

const rejection = {
  plugin: 'NodePorts',
  reasons: ["node(s) didn't have free ports for the requested pod ports"],
  unresolvable: false,
};

export const nodePorts: Plugin = {
  name: 'NodePorts',
  filter: (pod, node) => (pod.hostPorts.some(port => node.usesPort(port)) ? rejection : undefined),
};
