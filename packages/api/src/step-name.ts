import { KEY } from './patterns.ts'

/** Of a step's name, in characters. */
export const MOST_STEP_NAME = 100
const PATTERN = new RegExp(KEY, 'u')

/** Whether a step may be called so: in any language, in one line, because a name says what was done. What handlers in JavaScript give is read as text. */
export const isStepName = (name: string): boolean => PATTERN.test(name) && [...String(name)].length <= MOST_STEP_NAME
