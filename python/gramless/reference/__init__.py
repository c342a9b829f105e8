"""The direct n x n version of every function, in float64 numpy: documentation, oracle and baseline.

Written to be read beside the papers, so it stores every Gram matrix and saves nothing. It needs numpy and the
kernel objects only (scipy for p-values), never the compiled core. Signatures are those of gramless;
`median_rows` and `progress` are accepted and ignored, for here every median is exact and nothing is shown.
"""

from .chance import layer_matrix, permutation_moments
from .contrastive import (
    dcl,
    dcl_value_and_grad,
    nt_xent,
    nt_xent_value_and_grad,
    sup_con,
    sup_con_value_and_grad,
)
from .cross_modal import (
    info_nce,
    info_nce_value_and_grad,
    moco,
    moco_value_and_grad,
    row_log_sum_exp,
    row_log_sum_exp_value_and_grad,
)
from .distillation import similarity_distillation, similarity_distillation_value_and_grad
from .gram import gram, median_distance
from .guided import guided_info_nce, guided_info_nce_value_and_grad
from .hsic import cka, cka_matrix, hsic, hsic_matrix
from .independence import independence_test
from .measures import alignment, participation_ratio, uniformity, vendi_score
from .minibatch import MinibatchCKA
from .neighbors import cknna, mutual_knn, mutual_knn_matrix
from .rsa import rsa, rsa_matrix
from .sigmoid import siglip, siglip_value_and_grad
from .two_samples import mmd, mmd_permutation_pvalue

__all__ = [
    "MinibatchCKA",
    "alignment",
    "cka",
    "cka_matrix",
    "cknna",
    "dcl",
    "dcl_value_and_grad",
    "gram",
    "guided_info_nce",
    "guided_info_nce_value_and_grad",
    "hsic",
    "hsic_matrix",
    "independence_test",
    "info_nce",
    "info_nce_value_and_grad",
    "layer_matrix",
    "median_distance",
    "mmd",
    "mmd_permutation_pvalue",
    "moco",
    "moco_value_and_grad",
    "mutual_knn",
    "mutual_knn_matrix",
    "nt_xent",
    "nt_xent_value_and_grad",
    "participation_ratio",
    "permutation_moments",
    "row_log_sum_exp",
    "row_log_sum_exp_value_and_grad",
    "rsa",
    "rsa_matrix",
    "siglip",
    "siglip_value_and_grad",
    "similarity_distillation",
    "similarity_distillation_value_and_grad",
    "sup_con",
    "sup_con_value_and_grad",
    "uniformity",
    "vendi_score",
]
