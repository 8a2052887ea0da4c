import type { SchedulerPlugin } from '../../../src/cluster/scheduler-plugins/plugin-api.ts';

let rackOfProfile = '';

/** At most one pod of an app in a rack, and the rack that the profile names is liked best. */
export const plugin: SchedulerPlugin = {
  name: 'RackAware',
  configure(args) {
    rackOfProfile = (args as { readonly rack?: string } | undefined)?.rack ?? '';
  },
  concerns: pod => pod.metadata.labels?.['app'] !== undefined,
  filter(pod, { node, pods }) {
    const app = pod.metadata.labels?.['app'];
    if (app === 'throws') throw new Error('this app is too much');
    if (app === 'hangs') for (;;);
    if (app === 'leaves') process.exit(3);
    if (app === 'nonsense') return 7 as never;
    const taken = pods.some(each => each.metadata.labels?.['app'] === app);
    return taken ? `rack ${node.metadata.labels?.['rack']} is taken` : undefined;
  },
  score: (_pod, { node }) => (node.metadata.labels?.['rack'] === rackOfProfile ? 100 : 0),
};
