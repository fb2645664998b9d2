// What others may use of proof runs: validators, rule sets, the judge and the comparison. No HTTP, no SQL, no files.
export { bytesEvidence } from './bytes-evidence.ts'
export { type Comparison, compareReports, type Difference } from './compare.ts'
export {
  type EvidenceArtifact,
  type InputsManifest,
  type Judgement,
  judge,
  type Question,
  type RuleFinding,
  type ValidationReport,
  type ValidationResult,
  ValidatorCrashed,
  type Verdict,
} from './judge.ts'
export { createJudgeThread, type JudgeThread } from './judge-thread.ts'
export { createProofKind } from './kind.ts'
export type { Problem, ProblemCode } from './problem.ts'
export { findValidator, listValidators } from './registry.ts'
export { rulesHandlers } from './routes.ts'
export { type Examined, examineRuleSet, Rule, RuleSet, ruleSetDigest } from './rule-set.ts'
export { defaultRuleSet, findScript, listScripts, type ScriptSpec, scriptRuleSet } from './scripts.ts'
export {
  citation,
  type Evidence,
  type EvidenceRole,
  type FileValidator,
  type Finding,
  type SetValidator,
  type Validator,
} from './validator.ts'
