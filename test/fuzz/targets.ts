import type { Target } from './target.ts';
import { celTargets } from './targets/cel.ts';
import { codecTargets } from './targets/codecs.ts';
import { imageTargets } from './targets/images.ts';
import { kubectlTargets } from './targets/kubectl.ts';
import { patchTargets } from './targets/patches.ts';
import { textTargets } from './targets/texts.ts';
import { wireTargets } from './targets/wires.ts';

/** Everything that is fuzzed. */
export const targets: readonly Target[] = [
  ...codecTargets,
  ...patchTargets,
  ...kubectlTargets,
  ...celTargets,
  ...textTargets,
  ...imageTargets,
  ...wireTargets,
];
