/** What upstream's API server asks a node for before it lets pods on it be changed (KEP-5328): this agent can do it. */
export const declaredFeatures: readonly string[] = [
  'GuaranteedQoSPodCPUResize',
  'InPlacePodLevelResourcesVerticalScaling',
];
