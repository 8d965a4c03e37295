import { HamletError } from '../lib/errors.js';
import type { KubernetesVersion } from './components.js';

/** The oldest and the newest minor release of Kubernetes 1 that the table below was checked against. */
export const oldestMinor = 20;
export const newestMinor = 36;

/** Minor releases of Kubernetes 1: the first that has something, and the first that has it no more. */
interface Change {
  readonly since?: number;
  readonly until?: number;
}

/**
 * What began or ended between Kubernetes 1.20 and 1.36, as far as this node's flags, configuration files and objects
 * touch it. The sources are Kubernetes' own: CHANGELOG/CHANGELOG-1.N.md of kubernetes/kubernetes, the pull requests
 * that it names (#), the enhancement proposals (KEP) and the list of removed APIs
 * (https://kubernetes.io/docs/reference/using-api/deprecation-guide/). What is the same in all these releases
 * (--service-account-issuer and its signing key, --authorization-mode, the group system:masters, RBAC v1, …) is not here.
 */
const changes = {
  // kube-apiserver

  /** `--insecure-port`: serves nothing since 1.20, where only 0 is accepted (#95856); gone in 1.24 (#106859). */
  insecurePortFlag: { until: 24 },
  /** `--kubelet-https`: without effect since 1.19 (#91630); gone in 1.22 (#101178). */
  kubeletHttpsFlag: { until: 22 },
  /** The PodSecurityPolicy API and admission plugin: gone in 1.25 (KEP-5, list of removed APIs). */
  podSecurityPolicy: { until: 25 },
  /** Group version policy/v1beta1, where PodSecurityPolicy lives: gone in 1.25 (list of removed APIs). */
  policyV1beta1: { until: 25 },
  /**
   * Pod Security admission: on by default since 1.23, stable in 1.25 with the configuration
   * `pod-security.admission.config.k8s.io/v1` (KEP-2579). It takes over where PodSecurityPolicy ended.
   */
  podSecurityAdmission: { since: 25 },
  /**
   * Pods get bound tokens: BoundServiceAccountTokenVolume is on by default since 1.21 (KEP-1205). Before, a pod is
   * refused until its service account's token secret exists.
   */
  boundServiceAccountTokens: { since: 21 },
  /** A token secret is made for each service account: ended in 1.24 (KEP-2799, LegacyServiceAccountTokenNoAutoGeneration). */
  tokenSecrets: { until: 24 },
  /** `--encryption-provider-config-automatic-reload`: Secrets' keys are read again when they change (CHANGELOG-1.26). */
  encryptionConfigReload: { since: 26 },

  // kube-controller-manager and kube-scheduler

  /**
   * `--port` of both: 0 closes the insecure port, which is gone since 1.22 (controller manager, #96216) and 1.23
   * (scheduler, #96345); the flag went in 1.24, as its own deprecation message had said.
   */
  componentPortFlag: { until: 24 },

  // kubelet

  /** `--container-runtime`: has to be `remote` while dockershim is the default; gone in 1.27 (#114017). */
  containerRuntimeFlag: { until: 27 },
  /**
   * The runtime's socket is named by `--container-runtime-endpoint`. Since 1.27 the flag is deprecated, and the
   * configuration has `containerRuntimeEndpoint` in its place (#112136).
   */
  containerRuntimeEndpointFlag: { until: 27 },
  /** `--pod-infra-container-image`: keeps the pause image from being collected; gone in 1.35 (CHANGELOG-1.35). */
  podInfraImageFlag: { until: 35 },
  /** `--network-plugin`, `--cni-bin-dir` and `--cni-conf-dir`, dockershim's own: gone with it in 1.24 (KEP-2221). */
  networkPluginFlags: { until: 24 },
  /** `--dynamic-config-dir`: gone in 1.24 (KEP-281). */
  dynamicConfigFlag: { until: 24 },
  /** The configuration's `registerWithTaints`; before, only the flag `--register-with-taints` (#105437). */
  registerWithTaintsField: { since: 23 },
  /** The configuration's `podLogsDir`; before, always /var/log/pods (#112957). */
  podLogsDirField: { since: 30 },
  /**
   * `failCgroupV1` is true unless the configuration says otherwise, and the kubelet refuses cgroup v1 (#134298,
   * KEP-5573). The field exists since 1.31 and was false until then (KEP-4569).
   */
  failCgroupV1: { since: 35 },
  /** The kubelet speaks CRI v1alpha2; v1 alone since 1.26, so that containerd has to be 1.6 or later (#110618). */
  criV1alpha2: { until: 26 },

  // kube-proxy

  /** Stale UDP entries are deleted with the program `conntrack`; over netlink since 1.32 (#126847). */
  conntrackProgram: { until: 32 },

  // all of them

  /** klog's own flags, `--logtostderr` and its like: gone in 1.26 (KEP-2845, #112120). */
  klogFlags: { until: 26 },
} as const satisfies Record<string, Change>;

export type Feature = keyof typeof changes;

/** Which lines of the table hold for one release. */
export type Features = { readonly [K in keyof typeof changes]: boolean };

/** The table itself, for those who want to show or test it. */
export const kubernetesChanges: Readonly<Record<Feature, Change>> = changes;

/**
 * What the given release has. A release newer than the table is taken to be like the newest in it.
 * Throws FAILED_PRECONDITION for one older than 1.20 and for a major release other than 1.
 */
export function features(version: Pick<KubernetesVersion, 'major' | 'minor'>): Features {
  const { major, minor } = version;
  if (major !== 1 || minor < oldestMinor) {
    throw new HamletError(
      'FAILED_PRECONDITION',
      `Kubernetes ${major}.${minor} is not supported; it has to be 1.${oldestMinor} or later`,
    );
  }
  const has = ({ since = 0, until = Number.POSITIVE_INFINITY }: Change): boolean =>
    since <= minor && minor < until;
  return Object.fromEntries(Object.entries(changes).map(([name, change]) => [name, has(change)])) as Features;
}
