// What says whether rules make sense. It loads every validator, so it is imported when it is first needed.
export { examineRuleSet, type RuleSet, ruleSetDigest, supersededIn } from './rule-set.ts'
export { defaultRuleSet, findScript, listScripts, type ScriptSpec, scriptRuleSet } from './scripts.ts'
