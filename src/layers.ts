/**
 * Who may import whom. A layer may import the layers listed behind it and itself, nothing else.
 * `layers.test.ts` holds every import in `src/` against this table.
 */
export const layers = {
  base: [],
  cel: ['base'],
  api: ['base', 'cel'],
  storage: ['base', 'api'],
  auth: ['base', 'cel', 'api', 'client'],
  admission: ['base', 'cel', 'api', 'client', 'auth'],
  // Only the API server reaches the store; everything else is a client of the API server.
  apiserver: ['base', 'cel', 'api', 'storage', 'auth', 'admission', 'client'],
  client: ['base', 'api'],
  controllers: ['base', 'cel', 'api', 'client'],
  scheduler: ['base', 'api', 'client'],
  // Asks the scheduler's own filters what would be.
  autoscaler: ['base', 'api', 'client', 'scheduler'],
  runtime: ['base', 'api'],
  network: ['base', 'api', 'client'],
  volumes: ['base', 'api', 'client'],
  kubelet: ['base', 'api', 'client', 'runtime', 'volumes', 'network'],
  dns: ['base', 'api', 'client'],
  cloud: ['base', 'api', 'client'],
  kubectl: ['base', 'api', 'client'],
  addons: ['base', 'api', 'client'],
  // The only layer that puts parts together.
  cluster: [
    'base',
    'cel',
    'api',
    'storage',
    'auth',
    'admission',
    'apiserver',
    'client',
    'controllers',
    'scheduler',
    'autoscaler',
    'runtime',
    'kubelet',
    'network',
    'dns',
    'volumes',
    'cloud',
    'kubectl',
    'addons',
  ],
} as const satisfies Record<string, readonly string[]>;

export type Layer = keyof typeof layers;
