import * as v from 'valibot';

/** Changes with every change of the wire format that an older peer would misread. */
export const PROTOCOL_VERSION = 1;

/** A peer's HELLO: who it is, and the secret that proves it. */
export const Hello = v.strictObject({
  version: v.literal(PROTOCOL_VERSION),
  name: v.pipe(v.string(), v.maxLength(64)),
  secret: v.pipe(v.string(), v.maxLength(128)),
});
export type Hello = v.InferOutput<typeof Hello>;

const Slot = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255));

/** The router's HELLO: everything the peer needs to know of the others. It holds for as long as the router lives. */
export const Welcome = v.strictObject({
  version: v.literal(PROTOCOL_VERSION),
  /** The peer's own address. */
  address: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535)),
  /** The names of all endpoints; a name's index is its slot. */
  names: v.array(v.string()),
  /** The services that the peer may call, and the slots they are at. */
  routes: v.record(v.string(), Slot),
  /** The services that the peer serves, and the slots that may call them. */
  callers: v.record(v.string(), v.array(Slot)),
});
export type Welcome = v.InferOutput<typeof Welcome>;
