import { batched, portContender } from './message-port.js';

export const contender = portContender('main', batched);
