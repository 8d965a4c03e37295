import * as v from 'valibot';
import { service, unary } from '../contract.js';
import { empty, name } from './fields.js';

/** The supervision of the components. */
export const kubelet = service('kubelet', {
  /** Stops every component in reverse order and comes back when all are gone; names those that had to be killed. */
  stop: unary(empty, v.strictObject({ killed: v.array(name) }), { deadlineMs: 180_000 }),
});
