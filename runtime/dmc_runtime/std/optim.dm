# optim: optimizers and what is done to gradients, from the files of the folder optim, for any
# record of parameters.
#
# An optimizer is a struct of what it remembers, a function that starts it, and one that takes a step:
#
#     let (net2, opt2) = optim.adamw_update(net, g, opt, lr)
#
# `rates` scales the steps of each leaf, and `decayed` says which leaves decay:
#
#     let (net2, opt2) = optim.adamw_update(net, g, opt, lr, rates = 1.0 - leaves[stem](net),
#                                           decayed = 1.0 - leaves[gain, bias, b](net))

from optim.gradients import accumulate, accumulate_init, Accumulated, add_decay, add_noise,
    all_finite, centralize, clip_adaptive, clip_each_norm, clip_examples, clip_norm, clip_value,
    global_norm, matrices, skip, skip_init, Skips
from optim.momentum import Lion, lion_init, lion_update, Momentum, momentum_init, momentum_update,
    Nesterov, nesterov_init, nesterov_update, SGD, sgd_init, sgd_update
from optim.adaptive import Adadelta, adadelta_init, adadelta_update, Adafactor, adafactor_init,
    adafactor_update, AdaGrad, adagrad_init, adagrad_update, centered_rmsprop_init,
    centered_rmsprop_update, CenteredRMSProp, RMSProp, rmsprop_init, rmsprop_update
from optim.adam import Adam, adam_init, adam_update, Adamax, adamax_init, adamax_update, AdamW,
    adamw_init, adamw_update, AMSGrad, amsgrad_init, amsgrad_update, NAdam, nadam_init,
    nadam_update, RAdam, radam_init, radam_update
from optim.layerwise import LAMB, lamb_init, lamb_update, LARS, lars_init, lars_update, Muon,
    muon_init, muon_update, orthogonal, schedule_free_adamw_init, schedule_free_adamw_update,
    schedule_free_model, ScheduleFreeAdamW, Sophia, sophia_init, sophia_update
from optim.averages import EMA, ema_init, ema_model, ema_update, Lookahead, lookahead_init,
    lookahead_update, sam_model, SWA, swa_init, swa_model, swa_update, with_params
from optim.curvature import gauss_newton, lbfgs, levenberg_marquardt, newton_cg, wolfe_step
from optim.natural import fisher_product, KFAC, kfac_gradient, kfac_init, kfac_update,
    natural_gradient
