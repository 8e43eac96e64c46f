from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from atomprint.learn import EnsembleClassifier, EnsembleRegressor


def regressors():
    return [("ridge", Ridge()), ("near", KNeighborsRegressor(3))]


def classifiers():
    return [("logistic", LogisticRegression()), ("near", KNeighborsClassifier(3))]


@parametrize_with_checks([EnsembleRegressor(regressors(), n_folds=2), EnsembleClassifier(classifiers(), n_folds=2)])
def test_ensembles_are_scikit_learn_estimators(estimator, check):
    check(estimator)
