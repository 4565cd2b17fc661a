# nn: activations, losses and layers, from the files of the folder nn. They are ordinary dm code;
# the compiler knows none of them. gelu, sigmoid, softplus, softmax and tanh are in the prelude.

from nn.activations import bilinear_glu, celu, elu, geglu, gelu_erf, glu, hard_shrink, hard_sigmoid,
    hard_silu, hard_tanh, leaky_relu, log_sigmoid, log_softmax, mish, PReLU, reglu, relu, relu6,
    selu, silu, soft_shrink, softsign, sparsemax, swiglu, tanh_shrink
from nn.attention import alibi, attend, attend_biased, attend_causal, attend_seen, Attention,
    KVCache, rotary, sinusoidal
from nn.conv import CausalConv1, Conv, conv1, Conv1, conv2, Conv2, conv_transpose1, conv_transpose2,
    ConvTranspose1, ConvTranspose2, grouped_conv1, grouped_conv2, GroupedConv1, GroupedConv2, pad1,
    pad2, pad_same1, pad_same2, SameConv1, SameConv2
from nn.layers import alpha_dropout, Bilinear, dense, drop_path, dropout, dropout_channels, Embed,
    Highway, Linear, residual
from nn.losses import accuracy, accuracy_terms, bce_with_logits, bce_with_logits_terms, contrastive,
    contrastive_terms, cosine_loss, cosine_loss_terms, cosine_similarity, cross_entropy,
    cross_entropy_terms, ctc, ctc_terms, focal, focal_terms, gaussian_nll, gaussian_nll_terms,
    hinge, hinge_terms, huber, huber_terms, info_nce, info_nce_terms, kl, kl_normal,
    kl_normal_terms, kl_terms, log_cosh, log_cosh_terms, mae, mae_terms, mse, mse_terms,
    poisson_nll, poisson_nll_terms, soft_cross_entropy, soft_cross_entropy_terms, squared_hinge,
    squared_hinge_terms, triplet, triplet_terms, weighted_cross_entropy,
    weighted_cross_entropy_terms
from nn.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RMSNorm, SpectralConv1,
    SpectralConv2, SpectralLinear, weight_norm
from nn.pool import adaptive_avg_pool, adaptive_avg_pool1, adaptive_max_pool, adaptive_max_pool1,
    avg_pool, avg_pool1, avg_pool2, global_avg_pool, global_max_pool, max_pool, max_pool1, max_pool2
from nn.recurrent import BiGRU, BiLSTM, BiRNN, GRU, LSTM, RNN
from nn.transformer import Block, DecoderBlock
