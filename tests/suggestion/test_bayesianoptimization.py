"""Bayesian optimization: the contract, and what is its own."""

from tests.suggestion.contract import LearningContract


class TestBayesianOptimizationKeepsTheContract(LearningContract):
    name = "bayesianoptimization"
    settings = (("Seed", 1),)
