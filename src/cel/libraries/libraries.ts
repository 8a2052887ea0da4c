import type { Library } from '../functions.ts';
import { authorizationLibrary } from './authorization.ts';
import { formatsLibrary } from './formats.ts';
import { kubernetesListsLibrary, listsLibrary, setsLibrary } from './lists.ts';
import { networkLibrary } from './network.ts';
import { optionalLibrary } from './optional.ts';
import { quantityLibrary } from './quantity.ts';
import { regexLibrary } from './regexes.ts';
import { semverLibrary } from './semver.ts';
import { standardLibrary } from './standard.ts';
import { jsonPatchLibrary, reverseLibrary, stringsLibrary } from './strings.ts';
import { urlLibrary } from './urls.ts';

/** The environment of Kubernetes v1.36, in the order in which upstream adds overloads. */
export const kubernetesLibraries: readonly Library[] = [
  standardLibrary,
  optionalLibrary,
  urlLibrary,
  regexLibrary,
  kubernetesListsLibrary,
  authorizationLibrary,
  quantityLibrary,
  stringsLibrary('kubernetes'),
  setsLibrary,
  networkLibrary,
  formatsLibrary,
  semverLibrary,
  listsLibrary,
  jsonPatchLibrary,
];

/** What the official conformance cases suppose, as far as it is not only for protocol buffers. */
export const conformanceLibraries: readonly Library[] = [
  standardLibrary,
  optionalLibrary,
  stringsLibrary('standard'),
  reverseLibrary,
  setsLibrary,
  listsLibrary,
];
