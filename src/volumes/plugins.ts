import type { VolumePlugin } from './plugin.ts';
import { configMapPlugin } from './plugins/config-map.ts';
import { downwardApiPlugin } from './plugins/downward-api.ts';
import { emptyDirPlugin } from './plugins/empty-dir.ts';
import { hostPathPlugin } from './plugins/host-path.ts';
import { imagePlugin } from './plugins/image.ts';
import { persistentVolumeClaimPlugin } from './plugins/persistent-volume-claim.ts';
import { projectedPlugin } from './plugins/projected.ts';
import { secretPlugin } from './plugins/secret.ts';

/** The kinds of volumes this node can mount. A volume has one source, so the order does not matter: commonest first. */
export const volumePlugins: readonly VolumePlugin[] = [
  projectedPlugin,
  configMapPlugin,
  secretPlugin,
  emptyDirPlugin,
  persistentVolumeClaimPlugin,
  hostPathPlugin,
  downwardApiPlugin,
  imagePlugin,
];
