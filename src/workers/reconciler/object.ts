import type { Features } from '../../platform/kubernetes-versions.js';

/** Marks what the reconciler made. Whatever else carries it is taken away; what does not is never touched. */
export const builtinLabel = { key: 'hamlet.internal/builtin', value: 'true' } as const;
export const builtinSelector = `${builtinLabel.key}=${builtinLabel.value}`;

export interface Metadata {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly unknown[];
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly deletionTimestamp?: string;
}

/** Any object as the API server's JSON has it. Items of a list come without apiVersion and kind. */
export interface KubernetesObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: Metadata;
  readonly [field: string]: unknown;
}

/** A kind without a namespace, of which built-in objects exist. */
export interface BuiltinKind {
  readonly apiVersion: string;
  readonly kind: string;
  /** The kind's place below its API group: `clusterroles`. */
  readonly plural: string;
  /** The field that the API server lets nobody change, if there is one: the object has to be made anew. */
  readonly fixedField?: string;
  /** Whether a release serves this kind at all. */
  served(features: Features): boolean;
  /** The objects of this kind that a release needs, whole but for what the API server adds. */
  objects(features: Features): readonly KubernetesObject[];
}

/** The URL path of a kind's objects, or of one of them. */
export function pathOf(kind: Pick<BuiltinKind, 'apiVersion' | 'plural'>, name?: string): string {
  const collection = `/apis/${kind.apiVersion}/${kind.plural}`;
  return name === undefined ? collection : `${collection}/${encodeURIComponent(name)}`;
}

/** The metadata of a built-in object: its name and the label that all of them carry. */
export function builtinMetadata(name: string, annotations?: Readonly<Record<string, string>>): Metadata {
  return {
    name,
    labels: { [builtinLabel.key]: builtinLabel.value },
    ...(annotations !== undefined && { annotations }),
  };
}
