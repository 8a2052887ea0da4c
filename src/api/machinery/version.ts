/** The version of Kubernetes whose API this is. */
export const kubernetesVersion = { major: '1', minor: '36', gitVersion: 'v1.36.0' } as const;

/**
 * What a component says of itself in its requests, as upstream's do. Up to the slash it names the owner of the fields that
 * it writes (`kubectl get --show-managed-fields`).
 */
export function userAgentOf(component: string): string {
  return `${component}/${kubernetesVersion.gitVersion} (${process.platform}/${process.arch}) windlass`;
}
