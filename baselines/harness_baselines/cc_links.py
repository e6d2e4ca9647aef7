"""The binary classifiers a chain is made of, all links of one chain fitted together.

Inside a chain everything is in chain order: link p reads the features and the outputs of links
0..p-1. A base turns (features [N, D], fed [N, L], targets [N, L]) into named float64 tensors and
evaluates the margin of one link from them; sigmoid(margin) is the link's probability and
margin > 0 its 0/1 output. Every learned array is a plain tensor, so a fitted chain is saved
without pickling an estimator.
"""

from __future__ import annotations

import importlib
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from harness.errors import ConfigError

Params = dict[str, Tensor]


class Base(Protocol):
    """One kind of binary classifier, for all links of a chain at once."""

    names: tuple[str, ...]
    shared: tuple[str, ...]

    def fit(self, x: Tensor, fed: Tensor, targets: Tensor, visible: Tensor) -> Params:
        """Fit K links.

        Args:
            x: features, float64 [N, D].
            fed: label columns offered to the links, float64 [N, L].
            targets: what each link learns, float64 [N, K]; both classes occur in every column.
            visible: bool [K, L]; the label columns a link may read.
        """

    def static(self, params: Params, x: Tensor) -> Tensor:
        """Return what depends on the features [B, D] only, computed once for all links."""

    def margin(self, params: Params, static: Tensor, fed: Tensor, link: int) -> Tensor:
        """Return the margins [B] of one link; ``fed`` [B, L] is read where it is visible.

        Args:
            params: what `fit` returned.
            static: what `static` returned.
            fed: label columns, float64 [B, L].
            link: its index in K.
        """


class LogisticBase:
    """L2-regularised logistic regression: minimise ½‖w‖²/C + Σ log-loss, intercept free.

    The objectives of the links share no weight, so one L-BFGS on their sum, with the label columns
    a link may not see masked out, has the same optimum as one fit a link. With fewer samples than
    features the optimal weights lie in the span of the samples, and are sought there.
    """

    names: tuple[str, ...] = ("weight_x", "weight_y", "bias")
    shared: tuple[str, ...] = ()

    def __init__(self, c: float) -> None:
        self.c = c

    def fit(self, x: Tensor, fed: Tensor, targets: Tensor, visible: Tensor) -> Params:
        """Return weights [K, D] and [K, L] and intercepts [K]."""
        from scipy.optimize import minimize

        basis = None
        if x.shape[1] > len(x):
            # An orthonormal basis keeps the norm, hence the penalty, of every weight.
            basis, coordinates = torch.linalg.qr(x.T)
            x = coordinates.T
        z = torch.cat([x, fed], dim=1).numpy()
        links, d = targets.shape[1], x.shape[1]
        free = np.concatenate([np.ones((links, d), dtype=bool), visible.numpy()], axis=1)
        sign = 2.0 * targets.numpy() - 1.0

        def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            weight, bias = flat[:-links].reshape(links, -1), flat[-links:]
            signed = sign * (z @ weight.T + bias)
            loss = np.logaddexp(0.0, -signed).sum() + 0.5 / self.c * (weight**2).sum()
            slope = -sign * np.exp(-np.logaddexp(0.0, signed))
            grad = np.where(free, slope.T @ z + weight / self.c, 0.0)
            return float(loss), np.concatenate([grad.ravel(), slope.sum(axis=0)])

        start = np.zeros(links * (z.shape[1] + 1))
        options = {"maxiter": 2000, "maxfun": 4000, "gtol": 1e-6, "ftol": 1e-16, "maxcor": 20}
        found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options).x
        weight = torch.from_numpy(found[:-links].reshape(links, -1).copy())
        weight_x = weight[:, :d] if basis is None else weight[:, :d] @ basis.T
        return {
            "weight_x": weight_x.contiguous(),
            "weight_y": weight[:, d:].contiguous(),
            "bias": torch.from_numpy(found[-links:].copy()),
        }

    def static(self, params: Params, x: Tensor) -> Tensor:
        """Return the feature part of all margins, [B, K]."""
        return x @ params["weight_x"].T + params["bias"]

    def margin(self, params: Params, static: Tensor, fed: Tensor, link: int) -> Tensor:
        """Return the linear margins [B]; weights of unseen labels are zero."""
        return static[:, link] + fed @ params["weight_y"][link]


class LinearSVMBase(LogisticBase):
    """Linear support vector machine (scikit-learn's SVC), stored like the logistic links."""

    def fit(self, x: Tensor, fed: Tensor, targets: Tensor, visible: Tensor) -> Params:
        """Return weights [K, D] and [K, L] and intercepts [K]."""
        svm = _svm_module()
        d = x.shape[1]
        weight_x, weight_y = x.new_zeros(len(visible), d), x.new_zeros(visible.shape)
        bias = x.new_zeros(len(visible))
        for link, seen in enumerate(visible):
            z = torch.cat([x, fed[:, seen]], dim=1).numpy()
            machine = svm.SVC(kernel="linear", C=self.c).fit(z, targets[:, link].numpy())
            weight = torch.from_numpy(machine.coef_[0].copy())
            weight_x[link], weight_y[link, seen] = weight[:d], weight[d:]
            bias[link] = float(machine.intercept_[0])
        return {"weight_x": weight_x, "weight_y": weight_y, "bias": bias}


class RBFSVMBase:
    """RBF support vector machine (scikit-learn's SVC), stored as dual coefficients over rows.

    ``gamma`` follows scikit-learn: ``auto`` is 1 / columns, ``scale`` 1 / (columns * variance),
    both over the columns a link sees.
    """

    names: tuple[str, ...] = ("support_x", "support_y", "dual", "bias", "gamma", "visible")
    shared: tuple[str, ...] = ("support_x",)

    def __init__(self, c: float, gamma: Literal["scale", "auto"]) -> None:
        self.c = c
        self.gamma = gamma

    def fit(self, x: Tensor, fed: Tensor, targets: Tensor, visible: Tensor) -> Params:
        """Return training rows [N, D] and [N, L], duals [K, N], intercepts and gammas [K]."""
        svm = _svm_module()
        dual = x.new_zeros(len(visible), len(x))
        bias, gammas = x.new_zeros(len(visible)), x.new_zeros(len(visible))
        for link, seen in enumerate(visible):
            z = torch.cat([x, fed[:, seen]], dim=1).numpy()
            spread = z.var() if self.gamma == "scale" else 1.0
            gamma = 1.0 / (z.shape[1] * (spread or 1.0))
            machine = svm.SVC(kernel="rbf", C=self.c, gamma=gamma).fit(z, targets[:, link].numpy())
            rows = torch.from_numpy(machine.support_.astype(np.int64))
            dual[link, rows] = torch.from_numpy(machine.dual_coef_[0].copy())
            bias[link], gammas[link] = float(machine.intercept_[0]), gamma
        return {
            "support_x": x,
            "support_y": fed,
            "dual": dual,
            "bias": bias,
            "gamma": gammas,
            "visible": visible.double(),
        }

    def static(self, params: Params, x: Tensor) -> Tensor:
        """Return squared distances to the support rows over the features, [B, S]."""
        return _squared_distances(x, params["support_x"])

    def margin(self, params: Params, static: Tensor, fed: Tensor, link: int) -> Tensor:
        """Return the kernel margins [B]."""
        seen = params["visible"][link]
        gap = _squared_distances(fed * seen, params["support_y"] * seen)
        kernel = torch.exp(-params["gamma"][link] * (static + gap))
        return kernel @ params["dual"][link] + params["bias"][link]


class NaiveBayesBase:
    """Gaussian naive Bayes; variances get 1e-9 of the widest column added, as is customary."""

    names: tuple[str, ...] = ("mean_x", "mean_y", "var_x", "var_y", "log_prior", "visible")
    shared: tuple[str, ...] = ()

    def fit(self, x: Tensor, fed: Tensor, targets: Tensor, visible: Tensor) -> Params:
        """Return class means and variances [K, 2, D] and [K, 2, L], log priors [K, 2]."""
        z = torch.cat([x, fed], dim=1)
        member = torch.stack([1.0 - targets, targets], dim=1)  # [N, 2, K]
        share = member / member.sum(dim=0)
        mean = torch.einsum("nck,nf->kcf", share, z)
        # Centred moments, one class at a time: E[z²]-E[z]² loses all digits of small variances.
        var = torch.stack(
            [
                torch.stack(
                    [s @ (z - m).square() for s, m in zip(share[:, c].T, mean[:, c], strict=True)]
                )
                for c in range(2)
            ],
            dim=1,
        )
        widest = x.var(dim=0, correction=0).max().expand(len(visible))
        spread_y = torch.where(visible, fed.var(dim=0, correction=0), 0.0).amax(dim=1)
        var = var + 1e-9 * torch.maximum(widest, spread_y)[:, None, None]
        d = x.shape[1]
        return {
            "mean_x": mean[..., :d].contiguous(),
            "mean_y": mean[..., d:].contiguous(),
            "var_x": var[..., :d].contiguous(),
            "var_y": var[..., d:].contiguous(),
            "log_prior": member.mean(dim=0).log().T.contiguous(),
            "visible": visible.double(),
        }

    def static(self, params: Params, x: Tensor) -> Tensor:
        """Return the feature part of both classes' log joint, [B, K, 2]."""
        return params["log_prior"] + _log_normal(x, params["mean_x"], params["var_x"]).sum(-1)

    def margin(self, params: Params, static: Tensor, fed: Tensor, link: int) -> Tensor:
        """Return the log odds [B] of class 1."""
        terms = _log_normal(fed, params["mean_y"][link], params["var_y"][link])
        joint = static[:, link] + (terms * params["visible"][link]).sum(dim=-1)
        return joint[:, 1] - joint[:, 0]


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    # The matrix-product shortcut of cdist cancels where two rows are nearly equal.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist").square()


def _log_normal(z: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    """Return log N(z; mean, var) per column without log 2π: z [B, F], mean [..., F]."""
    z = z.reshape(len(z), *[1] * (mean.dim() - 1), z.shape[1])
    return -0.5 * (var.log() + (z - mean).square() / var)


def _svm_module() -> Any:
    try:
        return importlib.import_module("sklearn.svm")
    except ModuleNotFoundError as error:
        raise ConfigError(
            "model.base: support vector machines need scikit-learn, which is not installed. "
            "Install it with `pip install 'emotion-harness[cc]'`, or use base=logistic or "
            "base=gaussian_nb, which need nothing further."
        ) from error


def build_base(base: str, c: float, gamma: Literal["scale", "auto"]) -> Base:
    """Return the named base classifier.

    Args:
        base: ``logistic``, ``linear_svm``, ``rbf_svm`` or ``gaussian_nb``.
        c: inverse strength of the penalty, or the SVM's C.
        gamma: of the RBF kernel.
    """
    if base == "logistic":
        return LogisticBase(c)
    if base == "linear_svm":
        return LinearSVMBase(c)
    if base == "rbf_svm":
        return RBFSVMBase(c, gamma)
    return NaiveBayesBase()


def probability(margin: Tensor, constant: Tensor) -> Tensor:
    """Return sigmoid(margin), or the constant where it is a number (`constants`)."""
    return torch.where(constant.isnan(), margin.sigmoid(), constant)


def constants(targets: Tensor) -> Tensor:
    """Return the probability of labels with one class in training, NaN elsewhere, [K]."""
    mean = targets.mean(dim=0)
    return torch.where((mean == 0) | (mean == 1), mean, torch.nan)


def learnable(targets: Tensor, learn: Tensor) -> Tensor:
    """Give constant columns an alternating stand-in, so that every link has two classes.

    Their links are never read (the constant is); fitting them keeps all arrays rectangular.
    """
    stand_in = torch.arange(len(targets), device=targets.device).remainder(2).to(targets)
    return torch.where(learn, targets, stand_in[:, None])
