/** What one evaluation of one expression may cost. */
export const perCallLimit = 1_000_000;
/** What all rules of a CustomResourceDefinition, or all expressions of a policy, may cost on one request. */
export const runtimeCostBudget = 10_000_000;
/** The same for the match conditions of one webhook. */
export const runtimeCostBudgetMatchConditions = 2_500_000;
/** The static estimate of one rule, times the number of places it applies to, may be this at most. */
export const staticCostLimit = 10_000_000;
/** The sum of all static estimates of a CustomResourceDefinition. */
export const staticCostLimitTotal = 100_000_000;
/** Estimates of sizes assume that a request is at most this long. */
export const requestSizeBytesMax = 3 * 1024 * 1024;
/** Expressions longer than this are not parsed. */
export const expressionCodePointsMax = 100_000;
/** Expressions nested deeper than this are not parsed. */
export const expressionDepthMax = 250;
/** Nodes that macros may copy in one expression: each `optMap` of a chain doubles what it follows. */
export const copiedNodesMax = 20_000;
/** Issues of one expression that are reported. */
export const issuesMax = 100;
