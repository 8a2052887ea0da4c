import type { Plugin } from '../plugin.ts';

const rejection = {
  plugin: 'NodeName',
  reasons: ["node(s) didn't match the requested node name"],
  unresolvable: true,
};

export const nodeName: Plugin = {
  name: 'NodeName',
  filter: (pod, node) => (!pod.pod.spec.nodeName || pod.pod.spec.nodeName === node.name ? undefined : rejection),
  explain: pod => ({ details: [`the pod asks for node ${pod.pod.spec.nodeName}`], remedies: [] }),
};
